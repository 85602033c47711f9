import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { type DType, NDArray, viewOf } from "../../src/array/ndarray.ts";
import { kindOfFile } from "../../src/formats/file-kind.ts";
import { bytesOf } from "../../src/formats/raw-array.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import { encodeTorch, encodeTorchStream } from "../../src/formats/torch/encode-torch.ts";
import { openTorch } from "../../src/formats/torch/open-torch.ts";
import { bytesInMemory } from "../../src/formats/weight-file.ts";
import { entriesPickle } from "./torch-entries.ts";
import {
  call,
  dict,
  global,
  int,
  legacyFile,
  list,
  none,
  pickle,
  six,
  storage,
  tensor,
  text,
  torchZip,
  tuple,
} from "./torch-pickles.ts";

const open = (bytes: Uint8Array, wanted?: string) => openTorch(bytesInMemory(bytes, "some.pt"), wanted);
const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
const join = (chunks: Iterable<Uint8Array>) => new Uint8Array(Buffer.concat([...chunks]));

async function refusal(bytes: Uint8Array, wanted?: string): Promise<string> {
  const error = await open(bytes, wanted).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).toMatch(/^some\.pt: /);
  return (error as Error).message;
}

/** The numbers of a tensor. */
async function valuesOf(bytes: Uint8Array, name: string): Promise<number[]> {
  const array = await (await open(bytes)).tensors.get(name)!.read();
  return Array.from(array.data as Float32Array, Number);
}

const plain = (shape: number[], strides: number[], offset = 0) =>
  torchZip(pickle(dict(["w", tensor(storage("0", 6), offset, shape, strides)])), { 0: six });

describe("tensors as views of storages", () => {
  test("dense ones have a location, others are gathered", async () => {
    const dense = await open(plain([2, 2], [2, 1], 1));
    const { location } = dense.tensors.get("w")!;
    expect(await location!.source.read(location!.offset, location!.byteLength)).toEqual(floats(1, 2, 3, 4));
    const transposed = plain([3, 2], [1, 3]);
    expect((await open(transposed)).tensors.get("w")!.location).toBeUndefined();
    expect(await valuesOf(transposed, "w")).toEqual([0, 3, 1, 4, 2, 5]);
    expect(await valuesOf(plain([2, 3], [0, 2], 1), "w")).toEqual([1, 3, 5, 1, 3, 5]);
    expect(await valuesOf(plain([], [], 4), "w")).toEqual([4]);
    expect(await valuesOf(plain([0, 3], [3, 1], 6), "w")).toEqual([]);
    expect(await valuesOf(plain([1, 2, 1], [99, 1, 77]), "w")).toEqual([0, 1]);
  });

  test("only the bytes of a view are read", async () => {
    const reads: [number, number][] = [];
    const memory = bytesInMemory(plain([2, 2], [2, 1], 1), "some.pt");
    const source = {
      ...memory,
      read: (offset: number, length: number) => {
        reads.push([offset, length]);
        return memory.read(offset, length);
      },
    };
    const w = (await openTorch(source)).tensors.get("w")!;
    reads.length = 0;
    await w.read();
    expect(reads).toEqual([[w.location!.offset, 16]]);
  });

  test.each([
    ["beyond its storage", plain([7], [1]), 'tensor "w" needs bytes 0 to 28 of storage "0", which ends at 24'],
    ["beyond it by its strides", plain([2, 2], [5, 1]), 'tensor "w" needs bytes 0 to 28'],
    ["beyond it by its offset", plain([2], [1], 5), 'tensor "w" needs bytes 20 to 28'],
    ["of another number of strides", plain([2], [1, 1]), 'tensor "w": expected an offset, sizes and as many strides'],
    ["of negative size", plain([-2], [1]), 'tensor "w": expected an offset, sizes and as many strides'],
    ["of astronomic size", plain(Array(9).fill(2 ** 30), Array(9).fill(0)), 'tensor "w" has 9 axes'],
    ["that repeats little to fill much", plain([2 ** 24], [0]), 'tensor "w" repeats 4 bytes to fill [16777216]'],
  ])("one %s is refused by name", async (_what, bytes, message) => {
    expect(await refusal(bytes)).toContain(message);
  });

  test("element types without a counterpart are named, and keep nobody from the others", async () => {
    const complex = dict(
      ["c", tensor(storage("0", 1, "ComplexFloatStorage"), 0, [1], [1])],
      ["q", tensor(storage("1", 2, "QInt8Storage"), 0, [2], [1])],
      ["w", tensor(storage("2", 2), 0, [2], [1])],
    );
    const file = await open(torchZip(pickle(complex), { 0: floats(1, 2), 1: Uint8Array.of(1, 2), 2: floats(3, 4) }));
    expect([...file.tensors.keys()]).toEqual(["w"]);
    expect(Object.fromEntries(file.unreadable)).toEqual({
      c: expect.stringMatching(/^has elements of ComplexFloatStorage, expected one of float32/),
      q: expect.stringMatching(/^has elements of QInt8Storage/),
    });
    const untyped = (dtype: string) =>
      torchZip(
        pickle(
          dict([
            "u",
            call(
              global("torch._utils", "_rebuild_tensor_v3"),
              storage("0", 8, "UntypedStorage"),
              int(1),
              tuple(int(1)),
              tuple(int(1)),
              [0x89],
              none,
              global("torch", dtype),
            ),
          ]),
        ),
        { 0: floats(1, 2) },
      );
    for (const dtype of ["uint16", "uint64", "complex64", "float8_e4m3fn", "float4_e2m1fn_x2", "qint8"]) {
      expect((await open(untyped(dtype))).unreadable.get("u"), dtype).toContain(`has elements of ${dtype}`);
    }
    expect(await valuesOf(untyped("float32"), "u")).toEqual([2]);
  });

  test("big-endian files are turned around", async () => {
    const bigEndian = Uint8Array.from(floats(1, -2)).subarray(0, 8);
    for (const at of [0, 4]) bigEndian.subarray(at, at + 4).reverse();
    const data = pickle(dict(["w", tensor(storage("0", 2), 0, [2], [1])]));
    const zip = torchZip(data, { 0: bigEndian }, "big");
    expect(await valuesOf(zip, "w")).toEqual([1, -2]);
    expect((await open(zip)).tensors.get("w")!.location).toBeUndefined();
    expect(await valuesOf(legacyFile(data, [{ key: "0", count: 2, bytes: bigEndian }], false), "w")).toEqual([1, -2]);
    expect(await refusal(torchZip(data, { 0: bigEndian }, "mixed"))).toContain('found "mixed"');
  });

  test("a storage that is packed in an unknown way is refused when the file is opened", async () => {
    const bytes = plain([6], [1]);
    const name = Buffer.from(bytes).lastIndexOf("model/data/0"); // in the directory
    bytes[name - 46 + 10] = 99;
    expect(await refusal(bytes)).toContain('"model/data/0": expected it stored or deflated, found packing method 99');
  });

  test("a storage that is missing, or damaged", async () => {
    expect(await refusal(torchZip(pickle(dict(["w", tensor(storage("1", 6), 0, [6], [1])]))))).toContain(
      'storage "1" is missing',
    );
    const bytes = plain([6], [1]);
    bytes[(await open(bytes)).tensors.get("w")!.location!.offset + 2]! ^= 1;
    await expect(valuesOf(bytes, "w")).rejects.toThrow(/"model\/data\/0": its checksum does not fit/);
  });
});

describe("old files", () => {
  const stored = { key: "a", count: 6, bytes: six };

  test("views of storages, which only they have", async () => {
    const view = storage("a", 6, "FloatStorage", tuple(text("view"), int(2), int(3)));
    const data = pickle(dict(["v", tensor(view, 1, [2], [1])], ["w", tensor(storage("a", 6), 0, [6], [1])]));
    const bytes = legacyFile(data, [stored]);
    expect(await valuesOf(bytes, "v")).toEqual([3, 4]);
    expect(await valuesOf(bytes, "w")).toEqual([0, 1, 2, 3, 4, 5]);
    const beyond = pickle(dict(["v", tensor(view, 1, [3], [1])]));
    expect(await refusal(legacyFile(beyond, [stored]))).toContain(
      'tensor "v" needs bytes 12 to 24 of storage "a", which ends at 20',
    );
  });

  test.each([
    ["a count beyond the file", [{ ...stored, count: 7 }], "is it cut off?"],
    ["a negative count", [{ ...stored, count: -1 }], 'storage "a" should end at'],
    ["a storage twice", [stored, stored], 'names "a", which no tensor has or which came before'],
    ["an unknown storage", [{ ...stored, key: "b" }], 'names "b"'],
    ["none of the storages", [], 'storage "a" is missing'],
  ])("%s is refused", async (_what, storages, message) => {
    const data = pickle(dict(["w", tensor(storage("a", 6), 0, [6], [1])]));
    expect(await refusal(legacyFile(data, storages))).toContain(message);
  });

  test("pickles over a megabyte are read in a second attempt", async () => {
    const data = pickle(dict(["note", text("n".repeat(1.25 * 2 ** 20))], ["w", tensor(storage("a", 6), 0, [6], [1])]));
    const bytes = legacyFile(data, [stored]);
    expect(await valuesOf(bytes, "w")).toEqual([0, 1, 2, 3, 4, 5]);
    expect((await open(bytes)).otherEntries.note).toBe(`text of ${1.25 * 2 ** 20} characters`);
  });
});

describe("which weights", () => {
  const one = (value: number) => tensor(storage("0", 6), value, [1], [1]);
  const file = (...entries: [string, ReturnType<typeof one>][]) => torchZip(pickle(dict(...entries)), { 0: six });

  test("names that the originals use", async () => {
    const mar = file(["model", dict(["w", one(1)])], ["model_ema", dict(["w", one(2)])], ["epoch", int(9)]);
    expect(await valuesOf(mar, "w")).toEqual([2]);
    expect(await open(mar)).toMatchObject({
      weights: "ema",
      groups: ["model", "model_ema"],
      otherEntries: { epoch: 9 },
    });
    expect(await open(mar, "model")).toMatchObject({ weights: "raw" });
  });

  test("a name that holds no tensors is no choice", async () => {
    const found = await open(file(["ema", none], ["model", dict(["w", one(3)], ["step", int(1)])]));
    expect([found.weights, [...found.tensors.keys()], found.otherEntries]).toEqual(["raw", ["w"], { ema: null }]);
  });

  test("what is missing is said with what there is", async () => {
    const model = file(["model", dict(["w", one(1)])]);
    expect(await refusal(model, "ema")).toContain('expected weights called ema, found "model"; ask for what there is');
    expect(await refusal(file(["w", one(1)]), "ema")).toContain("found one dictionary of tensors without a name");
    expect(await refusal(model, "student")).toContain('expected weights called student, found "model"');
    expect(await refusal(file(["epoch", int(1)]))).toContain('found no tensors, only "epoch"');
    expect(await refusal(torchZip(pickle(list(int(1)))))).toContain("found a list");
    expect(await refusal(torchZip(pickle(dict())))).toContain("found an empty dictionary");
    await expect((await open(model)).entry("opt")).rejects.toThrow('it has no entry "opt"');
  });

  test("facts that torch and NumPy write", async () => {
    const found = await open(torchZip(entriesPickle, { 0: six, 1: Uint8Array.of(0, 1, 2) }));
    expect([[...found.tensors.keys()], found.placeholders]).toEqual([["module._orig_mod.w"], []]);
    expect(JSON.parse(JSON.stringify(found.otherEntries))).toEqual({
      epoch: 3,
      loss: 0.25,
      count: 7,
      arr: "numpy.ndarray",
      out: "/runs/a",
      dd: { 1: [2.5] },
      s: [5],
      sz: [1, 2],
      dt: "torch.float16",
      big: "1180591620717411303424",
      neg: -5,
      nan: "NaN",
      by: "2 bytes",
      args: { lr: 1e-4, betas: [0.9, 0.999], name: "DiT", resume: null, device: "torch.device(cuda, 0)" },
      rng: "ByteStorage tensor [3]",
      flag: true,
    });
  });

  test("names like __proto__ are names", async () => {
    const odd = file(
      ["__proto__", dict(["polluted", int(1)])],
      ["constructor", int(2)],
      ["w", one(4)],
      ["toString", one(5)],
    );
    const { tensors, otherEntries } = await open(odd);
    expect([...tensors.keys()]).toEqual(["w", "toString"]);
    expect(Object.keys(otherEntries)).toEqual(["__proto__", "constructor"]);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});

describe("hostile pickles are refused by name, quickly", () => {
  const zip = (...code: (readonly number[])[]) => torchZip(pickle(...code));
  const refused = (name: string) =>
    `contains ${name}, which a weights file has no need of; refused, nothing was executed`;

  test.each([
    ["GLOBAL", call(global("os", "system"), text("true")), "os.system"],
    ["STACK_GLOBAL", [...text("builtins"), ...text("exec"), 0x93], "builtins.exec"],
    ["INST", [0x28, ...text("true"), 0x69, ...new TextEncoder().encode("posix\nsystem\n")], "posix.system"],
    ["a dotted name", [...text("torch"), ...text("serialization.os.system"), 0x93], "torch.serialization.os.system"],
    ["a loader of torch", global("torch.storage", "_load_from_bytes"), "torch.storage._load_from_bytes"],
    ["a whole model", global("models", "DiT"), "models.DiT"],
    ["a name of every object", global("collections", "__class__"), "collections.__class__"],
  ])("by %s", async (_how, code, name) => {
    expect(await refusal(zip(code))).toContain(refused(name));
    expect(await refusal(legacyFile(pickle(code), []))).toContain(refused(name));
  });

  test("what may be named, but not called", async () => {
    expect(await refusal(zip(call(global("torch", "FloatStorage"), int(1))))).toContain("torch.FloatStorage is called");
    expect(await refusal(zip(call(text("os.system"), text("true"))))).toContain("it calls text");
  });

  test("stacks, marks and memos that are not there, and unknown instructions", async () => {
    expect(await refusal(zip([0x52]))).toContain("it takes a value where there is none");
    expect(await refusal(zip(int(1), [0x28, 0x85]))).toContain("it takes a value where there is none");
    expect(await refusal(zip([0x74]))).toContain("a mark where there is none");
    expect(await refusal(zip([0x68, 7]))).toContain("it recalls value 7");
    expect(await refusal(zip([0x97]))).toContain("found byte 151, which torch.save does not write");
    expect(await refusal(zip([0x80, 9]))).toContain("expected pickle protocol 5 or older, found 9");
    expect(await refusal(zip(int(1), int(2), [0x61]))).toContain("it appends to a number");
    expect(await refusal(zip(tuple(text("module"), int(1)), [0x51]))).toContain(refused("a persistent id"));
  });

  test("lengths far beyond the file", async () => {
    for (const code of [
      [0x58, 255, 255, 255, 255],
      [0x8e, 255, 255, 255, 255, 255, 255, 255, 127],
      [0x42, 255, 255, 255, 127],
    ]) {
      expect(await refusal(zip(code))).toContain("the pickle ends in the middle");
    }
    expect(await refusal(zip([0x8b, 255, 255, 255, 127]))).toContain("an integer of 2147483647 bytes");
  });

  test("endless work: instructions, copies, values in themselves, values ten times in each other", async () => {
    const many = new Uint8Array(5_000_000).fill(0x4e);
    expect(await refusal(torchZip(many))).toContain("over 2000000 pickle instructions");
    const encode = [
      ...global("_codecs", "encode"),
      ...text("x".repeat(10_000)),
      ...text("latin1"),
      0x86,
      0x71,
      1,
      0x30,
      0x71,
      0,
    ];
    const copies = Array.from({ length: 1000 }, () => [0x68, 0, 0x68, 1, 0x52, 0x30]).flat();
    expect(await refusal(zip(encode, copies))).toContain("it visits its values more often than the file is large");
    const w = tensor(storage("0", 6), 0, [6], [1]);
    const tenTimes = [0x71, 9, 0x30, 0x5d, 0x28, ...Array.from({ length: 10 }, () => [0x68, 9]).flat(), 0x65];
    const tens = [...list(w), ...Array.from({ length: 13 }, () => tenTimes).flat()];
    const laughs = await open(torchZip(pickle(dict(["w", w], ["laughs", tens])), { 0: six }));
    expect(JSON.stringify(laughs.otherEntries).length).toBeLessThan(10_000_000);
    const endless = [0x5d, 0x71, 3, 0x68, 3, 0x61];
    const circle = await open(torchZip(pickle(dict(["w", w], ["circle", endless])), { 0: six }));
    expect(JSON.stringify(circle.otherEntries).length).toBeLessThan(1000);
    await expect(circle.entry("circle")).rejects.toThrow('"circle" is nested too deeply');
    await expect(laughs.entry("laughs")).rejects.toThrow('"laughs" is nested too deeply or holds too much');
  });
});

describe("writing", () => {
  function sample(): Map<string, NDArray> {
    const dtypes: DType[] = [
      "float32",
      "float64",
      "float16",
      "bfloat16",
      "int64",
      "int32",
      "int16",
      "int8",
      "uint8",
      "bool",
    ];
    const tensors = new Map<string, NDArray>();
    dtypes.forEach((dtype, i) => {
      const bytes = Uint8Array.from({ length: 48 }, (_, k) => (dtype === "bool" ? k % 2 : 251 - 7 * k - i));
      tensors.set(`blocks.${i}.${dtype}`, new NDArray(dtype, [2, 3], viewOf(dtype, bytes.buffer, 0, 6)));
    });
    tensors.set("__proto__", new NDArray("float32", [], Float32Array.of(Number.NaN)));
    tensors.set("ü\n", new NDArray("int32", [0, 5], new Int32Array(0)));
    tensors.set("long", new NDArray("uint8", [1, 70_000], new Uint8Array(70_000).fill(3)));
    return tensors;
  }

  test("what is written is read, bit by bit and in order, at multiples of 64", async () => {
    const found = await open(join(encodeTorch(sample())));
    expect([...found.tensors.keys()]).toEqual([...sample().keys()]);
    for (const [name, array] of sample()) {
      const tensor = found.tensors.get(name)!;
      const values = await tensor.read();
      expect([tensor.dtype, tensor.shape, values.dtype, values.shape]).toEqual([
        array.dtype,
        array.shape,
        array.dtype,
        array.shape,
      ]);
      expect(bytesOf(values), name).toEqual(bytesOf(array));
      expect(tensor.location!.offset % 64).toBe(0);
    }
    expect([found.weights, found.groups, found.format]).toEqual(["raw", [], "PyTorch (zip)"]);
    expect((await open(join(encodeTorch(new Map([["w", sample().get("long")!]]))))).otherEntries).toEqual({});
  });

  test("a stream gives the same bytes, and asks for one tensor at a time", async () => {
    const arrays = sample();
    const events: string[] = [];
    const lazy = new Map(
      [...arrays].map(([name, array]) => {
        const read = async () => {
          events.push(`read ${name}`);
          return array;
        };
        return [name, { dtype: array.dtype, shape: array.shape, read }];
      }),
    );
    const chunks: Uint8Array[] = [];
    for await (const chunk of encodeTorchStream(lazy)) {
      chunks.push(chunk);
      for (const [name, { data }] of arrays) if (data.buffer === chunk.buffer) events.push(`write ${name}`);
    }
    const filled = [...arrays].map(([name, { size }]) =>
      size > 0 ? [`read ${name}`, `write ${name}`] : [`read ${name}`],
    );
    expect(events).toEqual(filled.flat());
    expect(join(chunks)).toEqual(join(encodeTorch(sample())));
  });
});

describe("the kind of a file", () => {
  const kind = (bytes: Uint8Array) => kindOfFile(bytesInMemory(bytes, "some"));
  const ones = new Map([["w", new NDArray("float32", [1], Float32Array.of(1))]]);

  test("from its first bytes, and the directory of a zip file", async () => {
    expect(await kind(join(encodeTorch(ones)))).toBe("torch");
    expect(await kind(legacyFile(pickle(dict()), []))).toBe("torch");
    expect(await kind(join(encodeSafetensors(ones)))).toBe("safetensors");
    expect(await kind(pickle(dict()))).toBe("pickle");
    expect(await kind(new TextEncoder().encode("\x89PNG and so on"))).toBe("unknown");
    expect(await kind(new Uint8Array(0))).toBe("unknown");
    await expect(kind(join(encodeTorch(ones)).subarray(0, 200))).rejects.toThrow("is it cut off?");
  });

  test("other files are refused by what they are", async () => {
    expect(await refusal(join(encodeSafetensors(ones)))).toContain("expected a file of torch.save, found safetensors");
    expect(await refusal(new Uint8Array(3))).toContain("found another format");
    expect(await refusal(pickle(dict()))).toContain("found a bare pickle");
  });
});
