/** Calls that a weights file has no need of: what runs programs or code, loads modules, opens files or connections. */

/** Modules of Python and of packages, by their first component. */
const modules = new Set(
  [
    "os posix nt sys subprocess shutil pty platform pdb bdb code codeop commands popen2 runpy importlib imp pkgutil",
    "zipimport zipfile tarfile io _io tempfile glob fileinput linecache codecs mmap fcntl resource signal atexit gc",
    "socket socketserver ssl http httplib urllib urllib2 ftplib smtplib imaplib poplib nntplib telnetlib xmlrpc",
    "webbrowser asyncio multiprocessing concurrent threading _thread ctypes _ctypes cffi winreg msvcrt _winapi",
    "pickle _pickle cPickle marshal shelve dbm sqlite3 dill cloudpickle joblib operator _operator",
    "timeit trace profile cProfile doctest unittest pydoc idlelib lib2to3 distutils setuptools pip ensurepip venv",
    "site sysconfig _osx_support _aix_support _pyrepl cgitb antigravity compileall py_compile",
    "requests httpx aiohttp urllib3 paramiko fsspec smart_open IPython pexpect",
  ].flatMap((line) => line.split(" ")),
);

/** Of these modules, a name is refused in any position: `torch.serialization.os.system`. */
const anywhere = new Set(
  "os posix nt sys subprocess shutil pty builtins __builtin__ __builtins__ importlib ctypes pickle marshal socket runpy".split(
    " ",
  ),
);

/** Single functions, and modules deeper in a package. */
const refused = [
  ...["load", "hub", "serialization", "package", "classes", "ops", "compile", "multiprocessing", "testing"],
  ...["storage._load_from_bytes", "jit.load", "jit._serialization", "utils.cpp_extension", "utils.model_zoo"],
  ...["utils._config_module", "fx", "distributed.rpc", "_dynamo", "_inductor", "library"],
]
  .map((name) => `torch.${name}`)
  .concat(
    [
      "load",
      "save",
      "fromfile",
      "memmap",
      "testing",
      "f2py",
      "distutils",
      "ctypeslib",
      "lib",
      "loadtxt",
      "genfromtxt",
    ].map((name) => `numpy.${name}`),
    ["pandas.read_pickle", "pandas.eval", "pandas.io", "tensorflow.io", "tensorflow.saved_model", "keras.models"],
    ["types.FunctionType", "types.CodeType", "types.ModuleType", "types.LambdaType", "logging.config"],
    ["copyreg.add_extension", "copyreg.pickle", "builtins", "__builtin__"],
  );

/** What is harmless in them: binding arguments, text and bytes in memory; of the builtins, values and containers. */
const harmless = new Set(
  [
    ...["functools.partial", "functools.partialmethod", "operator.itemgetter", "_operator.itemgetter"],
    ...["io.BytesIO", "io.StringIO", "_io.BytesIO", "_io.StringIO"],
  ].concat(
    ["builtins", "__builtin__"].flatMap((module) =>
      "bool int long float complex str unicode bytes bytearray list tuple dict set frozenset slice range xrange object"
        .split(" ")
        .map((name) => `${module}.${name}`),
    ),
  ),
);

/** Whether a file that calls this is refused; to name it is no harm. */
export function isRefusedCall(name: string): boolean {
  if (harmless.has(name)) return false;
  const parts = name.split(".");
  return (
    modules.has(parts[0]!) ||
    parts[0] === "functools" ||
    parts.some((part) => anywhere.has(part)) ||
    refused.some((start) => name === start || name.startsWith(`${start}.`))
  );
}
