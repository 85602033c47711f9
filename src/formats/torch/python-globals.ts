/** The classes and functions a weights file may name, and the inert value that each stands for here. */

import { InputError } from "../../array/input-error.ts";
import { numpyScalar } from "./numpy-scalar.ts";
import { kindOfValue, PickledObject, PickledTensor, type PickleValue } from "./pickle-values.ts";
import { scriptPackage } from "./script-module.ts";
import { storageTypes } from "./storage-types.ts";

/** A call that the file asks for. */
export interface Call {
  /** Module and name. */
  readonly name: string;
  /** The file and the place in it, for errors. */
  readonly where: string;
  /** Counts what is copied, against a limit. */
  readonly spend: (copies: number) => void;
}

/** Makes the value that a call with `args` stands for. */
type Build = (args: readonly PickleValue[], call: Call) => PickleValue;

const inert: Build = (args, { name }) => new PickledObject(name, args);

const dictionary: Build = ([pairs], call) => {
  const map = new Map<PickleValue, PickleValue>();
  if (pairs === undefined) return map;
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

/** A parameter is its tensor; whether it wants a gradient is no property of a weight here. */
const parameter: Build = ([data = null], call) => {
  if (!(data instanceof PickledTensor)) throw wrongArgument(call, data);
  return data;
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
  ["argparse.Namespace", inert],
  ...names("torch._utils", ["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"], tensor),
  ...names("torch._utils", ["_rebuild_parameter", "_rebuild_parameter_with_state"], parameter),
  ...names("torch", [...storageTypes.keys()], undefined),
  ...names("torch.storage", ["UntypedStorage"], undefined),
  ["torch.Size", ([sizes = []]) => sizes],
  ["torch.device", inert],
  ...names("torch", ["float32", "float64", "float16", "bfloat16", "uint8", "uint16", "uint32", "uint64"], undefined),
  ...names("torch", ["int8", "int16", "int32", "int64", "bool", "complex64", "complex128"], undefined),
  ...names("torch", ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"], undefined),
  ...["__builtin__", "builtins"].flatMap((module) => [
    ...names(module, ["set", "frozenset"], set),
    ...names(module, ["complex"], inert),
    ...names(module, ["int", "long", "float", "bool", "str", "list", "dict", "tuple"], undefined),
  ]),
  ...["pathlib", "pathlib._local"].flatMap((module) =>
    names(module, ["PosixPath", "WindowsPath", "Path", "PurePosixPath", "PureWindowsPath", "PurePath"], path),
  ),
  ["_codecs.encode", encode],
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

/** Whether a weights file may name it. */
export function isAllowed(name: string): boolean {
  return allowed.has(name) || name.startsWith(scriptPackage);
}

/**
 * The value that a call stands for; nothing is called.
 * @throws InputError if it may be named but not called, or its arguments make no sense.
 */
export function construct(args: readonly PickleValue[], call: Call): PickleValue {
  const build = call.name.startsWith(scriptPackage) ? inert : allowed.get(call.name);
  if (!build)
    throw new InputError(`${call.where}: ${call.name} is called, which a weights file has no need of; refused`);
  return build(args, call);
}

function wrongArgument({ where, name }: Call, found: PickleValue): InputError {
  return new InputError(`${where}: ${name} is made from ${kindOfValue(found)}; the file is damaged`);
}
