/** Classes that are not known in a file of torch.save are inert, as long as no weight depends on them; calls that do harm are refused. */
import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { openTorch } from "../../src/formats/torch/open-torch.ts";
import { type ByteSource, bytesInMemory } from "../../src/formats/weight-file.ts";
import {
  type Code,
  call,
  dict,
  global,
  int,
  legacyFile,
  list,
  none,
  object,
  pickle,
  six,
  storage,
  tensor,
  text,
  torchZip,
  tuple,
} from "./torch-pickles.ts";

const w = tensor(storage("0", 6), 0, [6], [1]);
const withState = (made: Code, state: Code): Code => [...made, ...state, 0x62];
const emptySet: Code = [0x8f];
const bytes = (...values: number[]): Code => [0x43, values.length, ...values];

const open = (root: Code) => openTorch(bytesInMemory(torchZip(pickle(root), { 0: six }), "some.pt"));
const beside = (value: Code) => open(dict(["model", dict(["w", w])], ["beside", value]));

async function refusal(root: Code): Promise<string> {
  const error = await open(root).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  return (error as Error).message;
}

describe("beside weights stands, as an inert value with its name:", () => {
  const cases: readonly (readonly [what: string, value: Code, shown: unknown, placeholders: readonly string[]])[] = [
    [
      "torch's version",
      object("torch.torch_version", "TorchVersion", text("2.6.0")),
      "torch.torch_version.TorchVersion(2.6.0)",
      ["torch.torch_version.TorchVersion"],
    ],
    [
      "a date",
      call(global("datetime", "datetime"), bytes(7, 234, 1, 2, 0, 0, 0, 0, 0, 0)),
      "datetime.datetime",
      ["datetime.datetime"],
    ],
    ["a Namespace", withState(object("argparse", "Namespace"), dict(["lr", int(3)])), { lr: 3 }, []],
    ["a counter", call(global("collections", "Counter"), dict(["a", int(2)])), { a: 2 }, []],
    [
      "a dictionary of a class of its own",
      [...object("easydict", "EasyDict"), 0x28, ...text("lr"), ...int(1), 0x75],
      { lr: 1 },
      ["easydict.EasyDict"],
    ],
    [
      "a list of a class of its own",
      [...object("mine", "Losses"), 0x28, ...int(1), ...int(2), 0x65],
      [1, 2],
      ["mine.Losses"],
    ],
    ["a set of a class of its own", [...object("mine", "Names"), 0x28, ...int(1), 0x90], [1], ["mine.Names"]],
    [
      "a configuration of OmegaConf",
      withState(object("omegaconf.dictconfig", "DictConfig"), dict(["_content", dict(["lr", int(1)])])),
      { _content: { lr: 1 } },
      ["omegaconf.dictconfig.DictConfig"],
    ],
    ["a dataclass", withState(object("train", "Settings"), dict(["steps", int(7)])), { steps: 7 }, ["train.Settings"]],
    ["a member of an enumeration", call(global("train", "Mode"), int(2)), "train.Mode(2)", ["train.Mode"]],
    [
      "one by its name",
      call(global("builtins", "getattr"), global("train", "Mode"), text("FAST")),
      "train.Mode.FAST",
      ["train.Mode"],
    ],
    [
      "bound arguments",
      withState(call(global("functools", "partial"), global("torch.nn.functional", "gelu")), tuple()),
      "functools.partial",
      ["functools.partial", "torch.nn.functional.gelu"],
    ],
    ["a function that is only named", global("os", "getcwd"), "os.getcwd", ["os.getcwd"]],
    [
      "arguments by name",
      [...global("lightning", "Callback"), ...tuple(int(1)), ...dict(["every", int(2)]), 0x92],
      "lightning.Callback",
      ["lightning.Callback"],
    ],
    ["an object of protocol 0", [0x28, ...global("train", "Old"), ...int(4), 0x6f], "train.Old(4)", ["train.Old"]],
    [
      "an object made by copyreg",
      call(global("copy_reg", "_reconstructor"), global("train", "Old"), global("__builtin__", "object"), none),
      "train.Old",
      ["train.Old"],
    ],
    [
      "arguments by name as protocols 2 and 3 have them",
      [
        ...call(
          global("functools", "partial"),
          call(global("__builtin__", "getattr"), global("mine", "New"), text("__new__")),
        ),
        ...tuple(),
        0x52,
      ],
      "mine.New",
      ["functools.partial", "mine.New"],
    ],
    ["a registered extension", [0x83, 1, 2], "copyreg.extension 513", ["copyreg.extension 513"]],
    ["a persistent id of another kind", [...text("what"), 0x51], "a persistent id(what)", ["a persistent id"]],
    ["a slice", call(global("builtins", "slice"), int(1), int(2), none), "builtins.slice", []],
    ["a bytearray", call(global("builtins", "bytearray"), bytes(1, 2, 3)), "3 bytes", []],
    ["a complex number", call(global("builtins", "complex"), int(1), int(2)), "builtins.complex(1, 2)", []],
    ["a frozen set", call(global("builtins", "frozenset"), list(int(1))), [1], []],
    [
      "a random state of NumPy",
      call(global("numpy.random._pickle", "__randomstate_ctor"), text("MT19937")),
      "numpy.random._pickle.__randomstate_ctor(MT19937)",
      ["numpy.random._pickle.__randomstate_ctor"],
    ],
    [
      "an array of NumPy 2 in protocol 5",
      call(global("numpy._core.numeric", "_frombuffer"), bytes(1), int(1)),
      "numpy._core.numeric._frombuffer",
      ["numpy._core.numeric._frombuffer"],
    ],
    [
      "an ordered dictionary with attributes",
      withState(call(global("collections", "OrderedDict")), dict(["_metadata", dict()])),
      {},
      [],
    ],
    [
      "a defaultdict of an unknown factory",
      call(global("collections", "defaultdict"), global("train", "zero")),
      {},
      ["train.zero"],
    ],
    [
      "a sparse tensor",
      call(global("torch._utils", "_rebuild_sparse_tensor"), global("torch", "sparse_coo"), tuple(w, w)),
      "torch._utils._rebuild_sparse_tensor",
      ["torch._utils._rebuild_sparse_tensor", "torch.sparse_coo"],
    ],
    ["a set", emptySet, [], []],
  ];

  test.each(cases)("%s", async (_what, value, shown, placeholders) => {
    const file = await beside(value);
    expect((await file.tensors.get("w")!.read()).data[5]).toBe(5);
    expect(JSON.parse(JSON.stringify(file.otherEntries.beside))).toEqual(shown);
    expect(file.placeholders).toEqual(placeholders);
  });

  test("the numbers and texts of protocol 0", async () => {
    const line = (opcode: string, content: string): Code => [...new TextEncoder().encode(`${opcode}${content}\n`)];
    const values: readonly (readonly [Code, unknown])[] = [
      [line("I", "12"), 12],
      [line("I", "01"), true],
      [line("L", "-36893488147419103232L"), "-36893488147419103232"],
      [line("F", "0.5"), 0.5],
      [line("F", "nan"), "NaN"],
      [line("S", "'abc'"), "abc"],
      [line("V", "a\\u00e9"), "aé"],
      [[0x28, ...line("V", "k"), ...line("I", "1"), 0x64], { k: 1 }],
      [[...line("I", "5"), ...line("p", "70"), 0x30, ...line("g", "70")], 5],
    ];
    for (const [code, shown] of values) expect((await beside(code)).otherEntries.beside).toEqual(shown);
    for (const bad of [line("I", "x"), line("F", ""), line("S", "abc"), line("p", "-1"), line("g", "7")]) {
      await expect(beside(bad)).rejects.toThrow(InputError);
    }
  });
});

describe("weights", () => {
  const ordered = call(global("collections", "OrderedDict"));

  test.each<[string, Code]>([
    ["a parameter", call(global("torch._utils", "_rebuild_parameter"), w, [0x88], ordered)],
    [
      "a parameter with a state",
      call(global("torch._utils", "_rebuild_parameter_with_state"), w, [0x88], ordered, dict()),
    ],
    [
      "a tensor with an attribute",
      call(
        global("torch._tensor", "_rebuild_from_type_v2"),
        global("torch._utils", "_rebuild_tensor_v2"),
        global("torch", "Tensor"),
        tuple(storage("0", 6), int(0), tuple(int(6)), tuple(int(1)), [0x89], ordered),
        dict(["note", int(1)]),
      ),
    ],
    [
      "a tensor of a class of its own",
      call(
        global("torch._tensor", "_rebuild_from_type_v2"),
        global("torch._utils", "_rebuild_parameter"),
        global("mine", "Weight"),
        tuple(w, [0x88], ordered),
        none,
      ),
    ],
    [
      "a tensor of another device",
      call(
        global("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"),
        w,
        global("torch", "float32"),
        text("hpu"),
        [0x89],
      ),
    ],
    ["a tensor whose state is set", withState(w, dict(["note", int(1)]))],
  ])("are read from %s", async (_what, value) => {
    const file = await open(dict(["w", value]));
    expect(Array.from((await file.tensors.get("w")!.read()).data as Float32Array)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  const sparse = call(global("torch._utils", "_rebuild_sparse_tensor"), global("torch", "sparse_coo"), tuple(w, w));
  test.each<[string, Code, string]>([
    ["sparse", sparse, "is an object of torch._utils._rebuild_sparse_tensor"],
    ["quantized", call(global("torch._utils", "_rebuild_qtensor"), storage("0", 6), int(0)), "_rebuild_qtensor"],
    [
      "without values",
      call(global("torch._utils", "_rebuild_meta_tensor_no_storage"), global("torch", "float32"), tuple(int(6))),
      "_rebuild_meta_tensor_no_storage",
    ],
    [
      "a sparse parameter",
      call(global("torch._utils", "_rebuild_parameter"), sparse, [0x88], ordered),
      "_rebuild_parameter",
    ],
    [
      "an array of NumPy",
      call(global("numpy._core.multiarray", "_reconstruct"), global("numpy", "ndarray")),
      "numpy.ndarray",
    ],
    [
      "of an unknown storage",
      tensor(
        [...tuple(text("storage"), global("torch", "NewStorage"), text("0"), text("cpu"), int(6)), 0x51],
        0,
        [6],
        [1],
      ),
      "is a view of an object of a storage of torch.NewStorage",
    ],
  ])("that are %s fail only when they are asked for", async (_what, value, reason) => {
    const file = await open(dict(["model", dict(["w", w], ["odd", value])]));
    expect([...file.tensors.keys()]).toEqual(["w"]);
    expect(file.unreadable.get("odd")).toContain(reason);
  });
});

describe("what is refused by name, wherever it stands", () => {
  const refused = (name: string) =>
    `some.pt: contains ${name}, which a weights file has no need of; refused, nothing was executed`;

  test.each(
    [
      ..."os.system posix.system nt.system subprocess.Popen subprocess.check_output sys.exit shutil.rmtree".split(" "),
      ..."builtins.eval builtins.exec builtins.compile builtins.open builtins.__import__ builtins.map".split(" "),
      ..."__builtin__.eval __builtin__.execfile __builtin__.apply importlib.import_module runpy.run_path".split(" "),
      ..."webbrowser.open socket.create_connection ctypes.CDLL pickle.loads _pickle.loads marshal.loads".split(" "),
      ..."code.InteractiveInterpreter pty.spawn pip.main timeit.timeit operator.methodcaller functools.reduce".split(
        " ",
      ),
      ..."torch.load torch.hub.load torch.storage._load_from_bytes torch.serialization.os.system".split(" "),
      ..."numpy.load numpy.testing._private.utils.runstring dill.loads joblib.load requests.get".split(" "),
      ..."asyncio.create_subprocess_shell multiprocessing.Process threading.Thread types.FunctionType".split(" "),
    ].map((name) => [name]),
  )("%s", async (name) => {
    const dot = name.lastIndexOf(".");
    const callable = global(name.slice(0, dot), name.slice(dot + 1));
    const calls: Code[] = [
      call(callable, text("true")),
      [...callable, ...tuple(), 0x81],
      [0x28, ...callable, ...text("true"), 0x6f],
      [...callable, ...tuple(), ...dict(), 0x92],
      call(global("copyreg", "_reconstructor"), callable, global("builtins", "object"), none),
      call(global("torch._tensor", "_rebuild_from_type_v2"), callable, none, tuple(text("true")), none),
    ];
    for (const hostile of calls) {
      for (const root of [hostile, dict(["model", dict(["w", w])], ["args", list(hostile)])]) {
        expect(await refusal(root)).toBe(refused(name));
      }
    }
  });

  test("attributes of what is refused, of nothing in particular, and hidden ones", async () => {
    const getattr = (object: Code, name: string) => call(global("builtins", "getattr"), object, text(name));
    expect(await refusal(getattr(global("os", "path"), "os"))).toBe(refused("builtins.getattr"));
    expect(await refusal(getattr(text("x"), "format"))).toBe(refused("builtins.getattr"));
    expect(await refusal(getattr(global("train", "Mode"), "__subclasses__"))).toBe(refused("builtins.getattr"));
    expect(await refusal(getattr(global("train", "os"), "system"))).toBe(refused("builtins.getattr"));
    expect(await refusal(call(getattr(global("train", "Mode"), "os"), text("x")))).toBe(refused("train.Mode.os"));
    expect(await refusal(call(getattr(call(global("train", "Mode")), "run"), text("x")))).toContain(
      "it calls an object of train.Mode.run",
    );
  });

  test("an object is not called", async () => {
    const made = call(global("functools", "partial"), global("os", "system"), text("true"));
    expect(await refusal(dict(["model", dict(["w", w])], ["x", call(made)]))).toContain(
      "it calls an object of functools",
    );
  });

  test("in the old form of files, too", async () => {
    const data = pickle(dict(["model", dict(["w", w])], ["x", call(global("os", "system"), text("true"))]));
    const file = legacyFile(data, [{ key: "0", count: 6, bytes: six }]);
    await expect(openTorch(bytesInMemory(file, "some.pt"))).rejects.toThrow(refused("os.system"));
  });
});

describe("classes of whole models in old files", () => {
  test("are named by a persistent id, and are placeholders", async () => {
    const id: Code = [...tuple(text("module"), global("models", "DiT"), text("models.py"), text("class DiT: …")), 0x51];
    const data = pickle(dict(["model", dict(["w", w])], ["net", [...id, ...tuple(), 0x81]]));
    const file = await openTorch(bytesInMemory(legacyFile(data, [{ key: "0", count: 6, bytes: six }]), "some.pt"));
    expect([[...file.tensors.keys()], file.placeholders]).toEqual([["w"], ["models.DiT"]]);
  });
});

describe("work has an end: what is visited counts, however small the file", () => {
  const many = 200_000;
  /** A list of very many `None`, kept as number 0. */
  const kept = Buffer.concat([Buffer.of(0x5d, 0x71, 0, 0x28), Buffer.alloc(many, 0x4e), Buffer.of(0x65, 0x30)]);
  const recalled: Code = [0x68, 0];
  const longestMs = 2000; // a tenth of it where nothing else runs; without limits minutes

  const fileOf = (...parts: readonly (Code | Buffer)[]) => {
    const code = Buffer.concat([Buffer.of(0x80, 2), ...parts.map((part) => Buffer.from(part)), Buffer.of(0x2e)]);
    return bytesInMemory(torchZip(new Uint8Array(code), { 0: six }), "some.pt");
  };

  async function quickly(source: ByteSource): Promise<unknown> {
    const started = performance.now();
    const outcome = await openTorch(source).then(
      (opened) => JSON.stringify(opened.otherEntries).length,
      (error: unknown) => error,
    );
    expect(performance.now() - started).toBeLessThan(longestMs);
    return outcome;
  }

  /** Weights, and `count` values behind the list, each made over it. */
  const over = (count: number, each: Code): ByteSource =>
    fileOf(
      ...[kept, [0x7d, 0x28, ...text("model"), ...dict(["w", w]), ...text("x"), 0x5d, 0x28]],
      ...[Buffer.concat(new Array<Buffer>(count).fill(Buffer.from(each))), [0x65, 0x75]],
    );

  test("a path, a dictionary, a set or an object over very many values, again and again", async () => {
    for (const [module, name] of [
      ["pathlib", "Path"],
      ["mine", "Class"],
      ["collections", "Counter"],
      ["builtins", "set"],
    ] as const) {
      const error = await quickly(over(20_000, [...global(module, name), ...recalled, 0x52]));
      expect((error as Error).message, name).toMatch(
        /it visits its values more often than the file is large|is made from/,
      );
    }
  });

  test("the same list as an argument, a state, an item and a key of very many objects is passed on, not visited", async () => {
    const made = [...global("mine", "Class"), 0x28, ...recalled, 0x74, 0x52];
    for (const each of [made, [...made, ...recalled, 0x62], recalled, [0x7d, ...recalled, ...recalled, 0x73]]) {
      expect(await quickly(over(20_000, each))).toBeLessThan(5_000_000);
    }
  });

  test("very many entries are shown up to a limit", async () => {
    const keys = Array.from({ length: 100_000 }, (_, k) => Buffer.from(`\x8c\x06${100_000 + k}N`, "latin1"));
    const entries = fileOf([0x7d, 0x28, ...text("model"), ...dict(["w", w])], Buffer.concat(keys), [0x75]);
    expect(await quickly(entries)).toBeLessThan(2_000_000);
  });

  test("names as keys that are tuples of very many values", async () => {
    const root: Code = [0x7d, 0x28, ...text("model"), ...dict(["w", w]), ...text("opt"), 0x7d, 0x28, ...recalled, ...w];
    const opened = await openTorch(fileOf(kept, [...root, 0x75, 0x75]));
    const started = performance.now();
    expect([...(await opened.entry("opt")).keys()]).toEqual(["?"]);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});
