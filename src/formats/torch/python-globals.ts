/** The classes and functions that are known in a weights file, the inert value that each stands for, and the calls that are refused. */

import { InputError } from "../../array/input-error.ts";
import {
  kindOfValue,
  numpyScalar,
  PickledGlobal,
  PickledObject,
  PickledTensor,
  type PickleValue,
  scriptPackage,
} from "./pickle-values.ts";
import { storageTypes } from "./torch-container.ts";

/** A call that the file asks for. */
export interface Call {
  /** What is called; it is not refused. */
  readonly callable: PickledGlobal;
  /** The file and the place in it, for errors. */
  readonly where: string;
  /** Counts what is copied, against a limit. */
  readonly spend: (copies: number) => void;
}

const longestName = 500;

/** Makes the value that a call with `args` stands for. */
type Build = (args: readonly PickleValue[], call: Call) => PickleValue;

const inert: Build = (args, { callable }) => new PickledObject(callable.name, args);

const dictionary: Build = ([pairs], call) => {
  const map = new Map<PickleValue, PickleValue>();
  if (pairs === undefined) return map;
  if (pairs instanceof Map) return pairs;
  if (!Array.isArray(pairs)) throw wrongArgument(call, pairs);
  call.spend(pairs.length);
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2) throw wrongArgument(call, pair);
    map.set(pair[0]!, pair[1]!);
  }
  return map;
};

const set: Build = ([items = []], call) => {
  if (!Array.isArray(items)) throw wrongArgument(call, items);
  call.spend(items.length);
  return new Set(items);
};

/** The text of a path; Python pickles its parts. */
const path: Build = (parts, { spend }) => {
  const text = parts.filter((part) => typeof part === "string");
  spend(text.reduce((sum, part) => sum + part.length, 0));
  return text.join("/").replace(/^\/\//, "/");
};

/** The bytes that protocol 2 writes as Latin-1 text. */
const encode: Build = ([text = null, encoding = null], call) => {
  if (typeof text !== "string") throw wrongArgument(call, text);
  if (encoding !== "latin1") throw wrongArgument(call, encoding);
  call.spend(text.length);
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
};

const tensor: Build = (args) => new PickledTensor(args);

/**
 * A parameter is its tensor; whether it wants a gradient is no property of a weight here. That of a tensor that is not
 * known (sparse, quantized) is not known either.
 */
const parameter: Build = (args, call) => {
  const [data = null] = args;
  if (data instanceof PickledObject) return inert(args, call);
  if (!(data instanceof PickledTensor)) throw wrongArgument(call, data);
  return data;
};

/** A tensor with Python attributes, or of a class derived from the tensor: `(function, class, arguments, state)`. */
const derivedTensor: Build = (args, call) => {
  const [rebuild = null, , given = null] = args;
  if (!(rebuild instanceof PickledGlobal) || !Array.isArray(given)) throw wrongArgument(call, rebuild);
  if (rebuild.isRefused) throw refusedCall(rebuild.name, call.where);
  const isNested = allowed.get(rebuild.name) === derivedTensor; // arguments may hold themselves
  const made = isNested ? null : construct(given, { ...call, callable: rebuild });
  return made instanceof PickledTensor ? made : inert(args, call);
};

/**
 * The class of an object that protocols 2 and 3 make from arguments by name: `partial(getattr(C, "__new__"), …)()`.
 * Undefined for any other object that is called.
 */
export function boundClass(callable: PickledObject): string | undefined {
  const [bound] = callable.type === "functools.partial" ? callable.args : [];
  return bound instanceof PickledGlobal ? /^(.+)\.__new__$/.exec(bound.name)?.[1] : undefined;
}

/** A member of an enumeration or a method, by its name; to read an attribute of anything else could call. */
const attribute: Build = ([object = null, name = null], { callable, where }) => {
  const isPlain = typeof name === "string" && /^(?!__(?!new__$))\w+$/.test(name) && name.length < longestName;
  if (object instanceof PickledObject && isPlain) return new PickledObject(`${object.type}.${name}`, [object]);
  if (!(object instanceof PickledGlobal) || object.isRefused || !isPlain) throw refusedCall(callable.name, where);
  return new PickledGlobal(`${object.name}.${name}`, isRefusedCall(`${object.name}.${name}`));
};

const bytes: Build = (args, call) => (args[0] instanceof Uint8Array ? args[0] : inert(args, call));

/** How objects were made before protocol 2: `(class, base, state of the base)`. */
const reconstructor: Build = ([type = null, , base = null], call) => {
  if (!(type instanceof PickledGlobal)) throw wrongArgument(call, type);
  if (type.isRefused) throw refusedCall(type.name, call.where);
  return new PickledObject(type.name, [base]);
};

/** TorchScript's lists of one type. */
const list: Build = ([items = null], call) => {
  if (!Array.isArray(items)) throw wrongArgument(call, items);
  return items;
};

/** `undefined` marks what may be named, but not called. */
const allowed: ReadonlyMap<string, Build | undefined> = new Map<string, Build | undefined>([
  ["collections.OrderedDict", dictionary],
  ["collections.defaultdict", (_missing, call) => dictionary([], call)],
  ["collections.Counter", dictionary],
  ["argparse.Namespace", inert],
  ...names("torch._utils", ["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"], tensor),
  ...names("torch._utils", ["_rebuild_parameter", "_rebuild_parameter_with_state"], parameter),
  ...names("torch._utils", ["_rebuild_device_tensor_from_cpu_tensor", "_rebuild_xla_tensor"], parameter),
  ...names("torch._tensor", ["_rebuild_from_type", "_rebuild_from_type_v2"], derivedTensor),
  ...names("torch", ["Tensor", "nn.parameter.Parameter", "nn.parameter.Buffer"], inert),
  ...names("torch", [...storageTypes.keys()], undefined),
  ...names("torch.storage", ["UntypedStorage"], undefined),
  ["torch.Size", ([sizes = []]) => sizes],
  ["torch.device", inert],
  ...names("torch", ["float32", "float64", "float16", "bfloat16", "uint8", "uint16", "uint32", "uint64"], undefined),
  ...names("torch", ["int8", "int16", "int32", "int64", "bool", "complex64", "complex128"], undefined),
  ...names("torch", ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"], undefined),
  ...["__builtin__", "builtins"].flatMap((module) => [
    ...names(module, ["set", "frozenset"], set),
    ...names(module, ["complex", "slice", "range", "object"], inert),
    ...names(module, ["int", "long", "float", "bool", "str", "unicode", "list", "dict", "tuple"], inert),
    ...names(module, ["bytearray", "bytes"], bytes),
    ...names(module, ["getattr"], attribute),
  ]),
  ...["pathlib", "pathlib._local"].flatMap((module) =>
    names(module, ["PosixPath", "WindowsPath", "Path", "PurePosixPath", "PureWindowsPath", "PurePath"], path),
  ),
  ["_codecs.encode", encode],
  ...["copyreg", "copy_reg"].flatMap((module) => names(module, ["_reconstructor"], reconstructor)),
  ...names("torch.jit._pickle", ["build_boollist", "build_doublelist", "build_intlist", "build_tensorlist"], list),
  ["torch.jit._pickle.restore_type_tag", ([value = null]) => value],
  ["numpy.dtype", inert],
  ["numpy.ndarray", undefined],
  ...["numpy.core.multiarray", "numpy._core.multiarray"].flatMap((module) => [
    ...names(module, ["scalar"], numpyScalar),
    ...names(module, ["_reconstruct"], () => new PickledObject("numpy.ndarray", [])),
  ]),
]);

function names(module: string, list: readonly string[], build: Build | undefined): [string, Build | undefined][] {
  return list.map((name) => [`${module}.${name}`, build]);
}

/** Whether it is known what it stands for; all else is a placeholder. */
export function isKnown(name: string): boolean {
  return allowed.has(name) || name.startsWith(scriptPackage);
}

/** The class or function of a name. */
export function globalOf(name: string): PickledGlobal {
  return new PickledGlobal(name, !isKnown(name) && isRefusedCall(name));
}

/**
 * The value that a call stands for; nothing is called.
 * @throws InputError if it may be named but not called, or its arguments make no sense.
 */
export function construct(args: readonly PickleValue[], call: Call): PickleValue {
  const { name } = call.callable;
  if (!isKnown(name) || name.startsWith(scriptPackage)) return inert(args, call);
  const build = allowed.get(name);
  if (!build) throw new InputError(`${call.where}: ${name} is called, which a weights file has no need of; refused`);
  return build(args, call);
}

/** The error for a call that a weights file has no need of, and for a file that holds nothing but what is not known. */
export function refusedCall(name: string, where: string): InputError {
  const shown = name.length > 200 ? `${name.slice(0, 200)}…` : name;
  return new InputError(
    `${where}: contains ${shown}, which a weights file has no need of; refused, nothing was executed`,
  );
}

function wrongArgument({ where, callable }: Call, found: PickleValue): InputError {
  return new InputError(`${where}: ${callable.name} is made from ${kindOfValue(found)}; the file is damaged`);
}

/** The words of a text. */
function words(text: string): ReadonlySet<string> {
  return new Set(text.split(/\s+/).filter(Boolean));
}

/** Modules of Python and of packages, by their first component. */
const modules = words(`
  os posix nt sys subprocess shutil pty platform pdb bdb code codeop commands popen2 runpy importlib imp pkgutil
  zipimport zipfile tarfile io _io tempfile glob fileinput linecache codecs mmap fcntl resource signal atexit gc
  socket socketserver ssl http httplib urllib urllib2 ftplib smtplib imaplib poplib nntplib telnetlib xmlrpc
  webbrowser asyncio multiprocessing concurrent threading _thread ctypes _ctypes cffi winreg msvcrt _winapi
  pickle _pickle cPickle marshal shelve dbm sqlite3 dill cloudpickle joblib operator _operator
  timeit trace profile cProfile doctest unittest pydoc idlelib lib2to3 distutils setuptools pip ensurepip venv
  site sysconfig _osx_support _aix_support _pyrepl cgitb antigravity compileall py_compile
  requests httpx aiohttp urllib3 paramiko fsspec smart_open IPython pexpect
`);

/** Of these modules, a name is refused in any position: `torch.serialization.os.system`. */
const anywhere = words(
  "os posix nt sys subprocess shutil pty builtins __builtin__ __builtins__ importlib ctypes pickle marshal socket runpy",
);

const under = (packageName: string, names: string): string[] =>
  [...words(names)].map((name) => `${packageName}.${name}`);

/** Single functions, and modules deeper in a package. */
const refused = [
  ...under(
    "torch",
    `load hub serialization package classes ops compile multiprocessing testing storage._load_from_bytes jit.load
    jit._serialization utils.cpp_extension utils.model_zoo utils._config_module fx distributed.rpc _dynamo _inductor library`,
  ),
  ...under("numpy", "load save fromfile memmap testing f2py distutils ctypeslib lib loadtxt genfromtxt"),
  ...words("pandas.read_pickle pandas.eval pandas.io tensorflow.io tensorflow.saved_model keras.models"),
  ...under("types", "FunctionType CodeType ModuleType LambdaType"),
  ...words("logging.config copyreg.add_extension copyreg.pickle builtins __builtin__"),
];

/** What is harmless in them: binding arguments, text and bytes in memory; of the builtins, values and containers. */
const builtins =
  "bool int long float complex str unicode bytes bytearray list tuple dict set frozenset slice range xrange object";
const harmless = new Set([
  ...words("functools.partial functools.partialmethod operator.itemgetter _operator.itemgetter"),
  ...words("io.BytesIO io.StringIO _io.BytesIO _io.StringIO"),
  ...under("builtins", builtins),
  ...under("__builtin__", builtins),
]);

/** Whether a file that calls this is refused; to name it is no harm. */
function isRefusedCall(name: string): boolean {
  if (harmless.has(name)) return false;
  const parts = name.split(".");
  return (
    modules.has(parts[0]!) ||
    parts[0] === "functools" ||
    parts.some((part) => anywhere.has(part)) ||
    refused.some((start) => name === start || name.startsWith(`${start}.`))
  );
}
