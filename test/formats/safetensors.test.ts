import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { type DType, NDArray, viewOf } from "../../src/array/ndarray.ts";
import { uniforms } from "../../src/array/random.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  openSafetensors,
  readSafetensors,
  readSafetensorsHeader,
  readTensor,
} from "../../src/formats/safetensors.ts";
import { bytesInMemory } from "../../src/formats/weight-file.ts";

const join = (chunks: Iterable<Uint8Array>) => new Uint8Array(Buffer.concat([...chunks]));

/** A file from header text (or bytes) and a number of data bytes. */
function file(header: string | Uint8Array, dataBytes = 0, claimed?: number | bigint): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(claimed ?? text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const entry = (dtype: unknown, shape: unknown, offsets: unknown) =>
  JSON.stringify({ dtype, shape, data_offsets: offsets });

function sample(): Map<string, NDArray> {
  const dtypes: DType[] = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "float16",
    "bfloat16",
    "int32",
    "float32",
    "int64",
    "float64",
  ];
  return new Map(
    dtypes.map((dtype, i): [string, NDArray] => {
      const bytes = Uint8Array.from({ length: 24 }, (_, k) => (dtype === "bool" ? k % 2 : 7 * k + i));
      return [`blocks.${i}.${dtype}`, new NDArray(dtype, [3], viewOf(dtype, bytes.buffer, 0, 3))];
    }),
  );
}

describe("safetensors", () => {
  test("every dtype and the metadata come back as written", async () => {
    const metadata = { config: '{"depth": 14}', ["__proto__"]: "text", "": "ü" };
    const bytes = join(encodeSafetensors(sample(), metadata));
    for (const found of [decodeSafetensors(bytes), await readSafetensors(bytesInMemory(bytes))]) {
      expect(found.tensors.size).toBe(10);
      for (const [name, array] of sample()) expect(found.tensors.get(name)).toEqual(array);
      expect(Object.entries(found.metadata).sort()).toEqual(Object.entries(metadata).sort());
    }
  });

  test("odd names, scalars and empty tensors survive", () => {
    const tensors = new Map<string, NDArray>([
      ["__proto__", new NDArray("float32", [], Float32Array.of(1))],
      ["constructor", new NDArray("float32", [0, 5], new Float32Array(0))],
      ["10", new NDArray("int32", [1], Int32Array.of(10))],
      ['2"\\\n', new NDArray("uint8", [1], Uint8Array.of(2))],
    ]);
    expect(decodeSafetensors(join(encodeSafetensors(tensors))).tensors).toEqual(
      new Map(
        [...tensors].sort(
          ([a], [b]) => ["10", "__proto__", "constructor"].indexOf(a) - ["10", "__proto__", "constructor"].indexOf(b),
        ),
      ),
    );
    expect(decodeSafetensors(join(encodeSafetensors(new Map())))).toEqual({
      tensors: new Map(),
      metadata: Object.create(null),
    });
  });

  test("the bytes do not depend on the order of tensors and metadata", () => {
    const forward = join(encodeSafetensors(sample(), { a: "1", b: "2" }));
    const backward = join(encodeSafetensors(new Map([...sample()].reverse()), { b: "2", a: "1" }));
    expect(backward).toEqual(forward);
  });

  test("the bytes are those of the format", () => {
    const bytes = join(encodeSafetensors(new Map([["w", new NDArray("float32", [1, 2], Float32Array.of(1, -2))]])));
    const header = '{"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}';
    expect(header.length).toBe(56);
    expect(Buffer.from(bytes).toString("latin1")).toBe(`8\0\0\0\0\0\0\0${header}\0\0\x80?\0\0\0\xc0`);
  });

  test("header and tensors are aligned, so that decoding copies nothing", () => {
    const bytes = join(encodeSafetensors(sample(), { odd: "x" }));
    expect(bytes[0]! % 8).toBe(0);
    for (const array of decodeSafetensors(bytes).tensors.values()) expect(array.data.buffer).toBe(bytes.buffer);
  });

  test("unaligned tensors are copied", () => {
    const bytes = join(encodeSafetensors(sample()));
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(decodeSafetensors(shifted.subarray(1)).tensors).toEqual(decodeSafetensors(bytes).tensors);
    const odd = file(`{"a":${entry("U8", [1], [0, 1])},"b":${entry("F32", [1], [1, 5])}}`, 5);
    odd.set(new Uint8Array(Float32Array.of(3).buffer), odd.length - 4);
    expect(decodeSafetensors(odd).tensors.get("b")?.data[0]).toBe(3);
  });

  test("single tensors can be read, and each byte of the data is read once", async () => {
    const bytes = join(encodeSafetensors(sample()));
    const reads: [number, number][] = [];
    const source = {
      ...bytesInMemory(bytes, "weights.safetensors"),
      read: async (offset: number, length: number) => {
        reads.push([offset, length]);
        return bytes.slice(offset, offset + length);
      },
    };
    const header = await readSafetensorsHeader(source);
    expect(await readTensor(source, header.entries[3]!)).toEqual(sample().get(header.entries[3]!.name));
    reads.length = 0;
    await readSafetensors(source);
    const dataStart = header.entries[0]!.offset;
    const dataReads = reads.filter(([offset]) => offset >= dataStart);
    expect(dataReads.length).toBe(10);
    expect(dataReads.reduce((sum, [, length]) => sum + length, 0)).toBe(bytes.length - dataStart);
  });

  test("a tensor called __metadata__ cannot be written", () => {
    const tensors = new Map([["__metadata__", new NDArray("uint8", [1], Uint8Array.of(1))]]);
    expect(() => join(encodeSafetensors(tensors))).toThrow(RangeError);
  });
});

const f32 = (offsets: unknown, shape: unknown = [1]) => entry("F32", shape, offsets);

describe("hostile safetensors get one clear error", () => {
  test.each<[string, Uint8Array, RegExp]>([
    ["nothing", new Uint8Array(0), /only 0 bytes/],
    ["7 bytes", new Uint8Array(7), /only 7 bytes/],
    ["a header longer than the file", file("{}", 0, 100), /claims 100 bytes, the file has 2/],
    ["a header above 100 MB", file("{}", 0, 100_000_001), /limit is 100000000/],
    ["a header of 2^64 − 1", file("{}", 0, 2n ** 64n - 1n), /limit/],
    ["an empty header", file(""), /not valid JSON/],
    ["invalid JSON", file('{"a": '), /not valid JSON/],
    ["invalid UTF-8", file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /not valid JSON/],
    ["a JSON list", file("[]"), /must be a JSON object/],
    ["JSON null", file("null"), /must be a JSON object/],
    [
      "more tensors than any model has",
      file(`{${Array.from({ length: 100_001 }, (_, i) => `"${i}":${f32([0, 0])}`)}}`),
      /names 100001 tensors, the limit is 100000; refused/,
    ],
    [
      "65 axes",
      file(`{"a":{"dtype":"F32","shape":[${Array(65).fill(1)}],"data_offsets":[0,4]}}`, 4),
      /tensor "a": 65 axes, the limit is 64/,
    ],
    ["a name twice", file(`{"a":${f32([0, 4])},"a":${f32([0, 4])}}`, 4), /names "a" twice/],
    ["a name twice, once escaped", file(`{"a":${f32([0, 4])},"\\u0061":${f32([0, 4])}}`, 4), /names "a" twice/],
    [
      "a field twice",
      file(`{"a":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4),
      /names "dtype" twice/,
    ],
    ["overlapping tensors", file(`{"a":${f32([0, 4])},"b":${f32([2, 6])}}`, 6), /tensor "b" overlaps tensor "a"/],
    ["two tensors in one place", file(`{"a":${f32([0, 4])},"b":${f32([0, 4])}}`, 4), /overlaps/],
    ["a hole", file(`{"a":${f32([0, 4])},"b":${f32([5, 9])}}`, 9), /1 unused bytes between tensor "a" and tensor "b"/],
    ["a hole at the start", file(`{"a":${f32([4, 8])}}`, 8), /4 unused bytes between the header/],
    ["bytes at the end", file(`{"a":${f32([0, 4])}}`, 5), /1 unused bytes after tensor "a"/],
    ["bytes without tensors", file("{}", 5), /5 unused bytes after the header/],
    ["a cut end", file(`{"a":${f32([0, 4])}}`, 3), /tensor "a" ends 1 bytes after the file/],
    ["begin after end", file(`{"a":${f32([4, 0])}}`, 4), /tensor "a": data_offsets begin at 4, after their end 0/],
    [
      "a size that is not the shape's",
      file(`{"a":${f32([0, 4], [2])}}`, 4),
      /tensor "a": F32 \[2\] needs 8 bytes, data_offsets hold 4/,
    ],
    ["a negative dimension", file(`{"a":${f32([0, 4], [-1])}}`, 4), /tensor "a": shape must be .* found \[-1\]/],
    ["two negative dimensions", file(`{"a":${f32([0, 4], [-1, -1])}}`, 4), /shape must be/],
    ["a broken dimension", file(`{"a":${f32([0, 4], [0.5, 2])}}`, 4), /shape must be/],
    ["an unsafe dimension", file(`{"a":${f32([0, 0], [0, 2 ** 53])}}`), /shape must be/],
    ["a shape that overflows", file(`{"a":${f32([0, 0], [2 ** 40, 2 ** 40])}}`), /needs/],
    ["a shape that is text", file(`{"a":${f32([0, 4], "1")}}`, 4), /shape must be .* found "1"/],
    ["no shape", file('{"a":{"dtype":"F32","data_offsets":[0,4]}}', 4), /shape must be .* found undefined/],
    [
      "a deeply nested shape",
      file(`{"a":{"dtype":"F32","shape":${"[".repeat(1e5)}${"]".repeat(1e5)}}}`),
      /shape must be .* found \[\[…\]\]/,
    ],
    ["three offsets", file(`{"a":${f32([0, 4, 8])}}`, 4), /data_offsets must be two/],
    [
      "an unsafe offset",
      file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[9007199254740993,9007199254740997]}}'),
      /data_offsets must be two/,
    ],
    [
      "an offset of 1e400",
      file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,1e400]}}'),
      /data_offsets must be two/,
    ],
    [
      "an unknown dtype",
      file(`{"a":${entry("U16", [1], [0, 2])}}`, 2),
      /tensor "a": unknown dtype "U16", expected one of F64/,
    ],
    ["a dtype from Object.prototype", file(`{"a":${entry("constructor", [1], [0, 2])}}`, 2), /unknown dtype/],
    ["a dtype that is a number", file(`{"a":${entry(5, [1], [0, 2])}}`, 2), /unknown dtype 5/],
    [
      "a __proto__ that would lend its fields",
      file(`{"a":{"__proto__":${f32([0, 4])}}}`, 4),
      /tensor "a": unknown dtype undefined/,
    ],
    ["an entry that is null", file('{"a":null}'), /tensor "a": expected an object/],
    ["metadata that is a list", file('{"__metadata__":["a"]}'), /__metadata__ must be/],
    ["metadata that is a number", file('{"__metadata__":{"a":1}}'), /__metadata__ "a" must be a string/],
    ["a very long name", file(`{"${"n".repeat(1e6)}":null}`), /tensor "n{100}"…: expected/],
  ])("%s", async (_name, bytes, message) => {
    for (const reading of [
      async () => decodeSafetensors(bytes, "x.safetensors"),
      () => readSafetensors(bytesInMemory(bytes, "x.safetensors")),
    ]) {
      const error = await reading().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InputError);
      expect((error as Error).message).toMatch(message);
      expect((error as Error).message).toMatch(/^x\.safetensors: /);
      expect((error as Error).message.length).toBeLessThan(400);
    }
  });

  test.each([
    ["U16", [3], 6],
    ["U32", [1], 4],
    ["U64", [2], 16],
    ["C64", [1], 8],
    ["F8_E4M3", [2, 2], 4],
    ["F8_E5M2", [5], 5],
    ["F8_E8M0", [1], 1],
    ["F4", [2, 3], 3],
    ["F6_E2M3", [4], 3],
    ["a type of the year 2030", [7], 11],
  ] as const)("a tensor of %s keeps nobody from the others", async (code, shape, bytes) => {
    const one = file(`{"n":${entry(code, shape, [4, 4 + bytes])},"a":${f32([0, 4])}}`, 4 + bytes);
    const { tensors, unreadable } = await openSafetensors(bytesInMemory(one, "x.safetensors"));
    expect([...tensors.keys()]).toEqual(["a"]);
    expect((await tensors.get("a")!.read()).shape).toEqual([1]);
    expect([...unreadable]).toEqual([["n", expect.stringContaining(`unknown dtype "${code}", expected one of F64`)]]);
  });

  test("a type that is not read still has to have its size", async () => {
    const wrong = file(`{"n":${entry("U32", [2], [0, 4])}}`, 4);
    await expect(openSafetensors(bytesInMemory(wrong))).rejects.toThrow("U32 [2] needs 8 bytes, data_offsets hold 4");
    const hole = file(`{"n":${entry("U32", [1], [4, 8])}}`, 8);
    await expect(openSafetensors(bytesInMemory(hole))).rejects.toThrow("4 unused bytes between the header");
  });

  test("metadata of null is none, as the format's own reader has it", () => {
    const { tensors, metadata } = decodeSafetensors(file(`{"__metadata__":null,"a":${f32([0, 4])}}`, 4));
    expect([[...tensors.keys()], Object.keys(metadata)]).toEqual([["a"], []]);
  });

  test("a tensor may be called __proto__", () => {
    const { tensors } = decodeSafetensors(file(`{"__proto__":${f32([0, 4])}}`, 4));
    expect([...tensors.keys()]).toEqual(["__proto__"]);
  });

  test("a header of many megabytes in one string is scanned quickly", () => {
    const started = performance.now();
    expect(() => decodeSafetensors(file(`{"__metadata__":{"a":"${"\\\\x".repeat(5e6)}"},"b":1}`))).toThrow(
      /tensor "b"/,
    );
    expect(performance.now() - started).toBeLessThan(3000);
  });

  test("thousands of mutations give only an InputError or a valid file", () => {
    const original = join(encodeSafetensors(sample(), { config: '{"depth":14}' }));
    const headerEnd = 8 + original[0]! + 256 * original[1]!;
    const characters = new TextEncoder().encode('0123456789-.e"{}[]:,\\_aF');
    const started = performance.now();
    let refused = 0;
    for (let index = 0; index < 6000; index++) {
      const draw = uniforms({ seed: 3, purpose: "safetensors fuzz", step: 0, index }, 16);
      const bytes = original.slice(0, draw[0]! < 0.15 ? Math.floor(draw[1]! * original.length) : original.length);
      for (let i = 2; i < 2 + 3 * Math.ceil(draw[15]! * 4); i += 3) {
        const at = Math.floor(draw[i]! * (draw[i + 1]! < 0.2 ? 8 : headerEnd));
        const wild = Math.floor(draw[i + 2]! * 256);
        if (at < bytes.length) bytes[at] = index % 2 ? wild : characters[wild % characters.length]!;
      }
      try {
        for (const array of decodeSafetensors(bytes).tensors.values()) expect(array.size).toBe(array.data.length);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(4000);
    expect(refused).toBeLessThan(6000);
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});
