import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32, int32, NDArray } from "../../src/array/ndarray.ts";
import { bytesInMemory } from "../../src/formats/byte-source.ts";
import { kindOfFile } from "../../src/formats/kind-of-file.ts";
import { encodeNpy } from "../../src/formats/npy.ts";
import { encodeNpz, openNpz } from "../../src/formats/npz.ts";
import { bytesOf } from "../../src/formats/raw-array.ts";

const sample = () =>
  new Map<string, NDArray>([
    ["mu", new NDArray("float64", [3], Float64Array.of(1, -2, Number.NaN))],
    ["folder/arr_0", int32([1, 2, 3, 4], [2, 2])],
    ["__proto__", float32([7], [])],
    ["empty", float32([], [0, 2])],
    ["long", float32(Float32Array.from({ length: 50_000 }, (_, k) => k % 7))],
  ]);
const stored = () => new Uint8Array(Buffer.concat([...encodeNpz(sample())]));
const deflated = () =>
  zipSync(
    Object.fromEntries(
      [...sample()].filter(([name]) => name !== "__proto__").map(([name, array]) => [`${name}.npy`, encodeNpy(array)]),
    ),
  );
const open = (bytes: Uint8Array) => openNpz(bytesInMemory(bytes, "some.npz"));

describe("npz", () => {
  test("what is written is read; stored arrays have a place", async () => {
    const { format, tensors } = await open(stored());
    expect([format, [...tensors.keys()]]).toEqual(["npz", [...sample().keys()]]);
    for (const [name, array] of sample()) {
      const { place, read, ...said } = tensors.get(name)!;
      expect(said).toEqual({ name, dtype: array.dtype, shape: array.shape });
      expect(await read()).toEqual(array);
      expect(await place!.source.read(place!.offset, place!.byteLength)).toEqual(Uint8Array.from(bytesOf(array)));
    }
    expect(await kindOfFile(bytesInMemory(stored()))).toBe("npz");
  });

  test("deflated arrays are inflated when they are read, and have no place", async () => {
    const reads: number[] = [];
    const memory = bytesInMemory(deflated(), "some.npz");
    const source = {
      ...memory,
      read: (offset: number, length: number) => {
        reads.push(length);
        return memory.read(offset, length);
      },
    };
    const { tensors } = await openNpz(source);
    expect(tensors.size).toBe(4);
    for (const tensor of tensors.values()) {
      expect(tensor.place).toBeUndefined();
      expect(await tensor.read()).toEqual(sample().get(tensor.name));
    }
    expect(reads.length).toBeGreaterThan(8);
  });

  test("column-major and big-endian arrays have no place", async () => {
    const header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 2), }";
    const bytes = new Uint8Array(
      Buffer.concat([
        Buffer.from("\x93NUMPY\x01\x00", "latin1"),
        Buffer.from([header.length, 0]),
        Buffer.from(header),
        Buffer.from([0, 1, 0, 2, 0, 3, 0, 4]),
      ]),
    );
    for (const level of [0, 6] as const) {
      const tensor = (await open(zipSync({ "a.npy": bytes }, { level }))).tensors.get("a")!;
      expect(tensor.place).toBeUndefined();
      expect(await tensor.read()).toEqual(new NDArray("int16", [2, 2], Int16Array.of(1, 3, 2, 4)));
    }
  });

  test("entries that are no arrays, and arrays of another length, are refused by name", async () => {
    const refusal = async (files: Record<string, Uint8Array>) => {
      const error = await open(zipSync(files)).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InputError);
      return (error as Error).message;
    };
    const array = encodeNpy(float32([1, 2]));
    expect(await refusal({ "a.npy": array, "notes.txt": array })).toContain(
      'some.npz: zip entry "notes.txt": expected an array (.npy)',
    );
    expect(await refusal({ "a.npy": array.subarray(0, array.length - 1) })).toContain(
      '"a.npy": float32 [2] needs 8 bytes after its header, found 7',
    );
    expect(await refusal({ "a.npy": new Uint8Array(0) })).toContain('"a.npy": expected a NumPy array');
  });

  test("bfloat16 is refused when writing, by name", () => {
    const tensors = new Map([["w", new NDArray("bfloat16", [1], Uint16Array.of(1))]]);
    expect(() => [...encodeNpz(tensors)]).toThrow('tensor "w": NumPy has no bfloat16');
  });
});
