import { describe, expect, test } from "vitest";
import { float32, int32, NDArray } from "../../src/array/ndarray.ts";
import { encodeSafetensors, openSafetensors } from "../../src/formats/safetensors.ts";
import { streamSafetensors, type WritableTensor } from "../../src/formats/safetensors-write.ts";
import { bytesInMemory } from "../../src/formats/weight-file.ts";

const tensors = new Map<string, NDArray>([
  ["b", float32([1, 2, 3], [3, 1])],
  ["a", int32([4])],
  ["half", new NDArray("float16", [2], Uint16Array.of(0x3c00, 0xc000))],
  ["empty", new NDArray("float32", [0, 7], new Float32Array(0))],
  ["wide", new NDArray("float64", [], Float64Array.of(5))],
]);

const stored = (name: string, array: NDArray): WritableTensor => ({
  name,
  dtype: array.dtype,
  shape: array.shape,
  read: async () => array,
});

async function gather(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk.slice());
  return new Uint8Array(Buffer.concat(parts));
}

describe("writing a stream of tensors", () => {
  test("gives the same bytes as writing from memory, in whatever order", async () => {
    const whole = new Uint8Array(Buffer.concat([...encodeSafetensors(tensors, { note: "x" })]));
    const list = [...tensors].map(([name, array]) => stored(name, array));
    expect(await gather(streamSafetensors(list, { note: "x" }))).toEqual(whole);
    expect(await gather(streamSafetensors(list.reverse(), { note: "x" }))).toEqual(whole);
  });

  test("a tensor is read when the one before it has been taken", async () => {
    const events: string[] = [];
    const list = ["a", "b", "c"].map((name) => ({
      ...stored(name, float32([1])),
      read: async () => {
        events.push(`read ${name}`);
        return float32([1]);
      },
    }));
    for await (const chunk of streamSafetensors(list)) events.push(chunk.length > 4 ? "header" : "bytes");
    expect(events).toEqual(["header", "read a", "bytes", "read b", "bytes", "read c", "bytes"]);
  });

  test("a tensor that is not what it said, a name twice and __metadata__ are mistakes of the caller", async () => {
    const lies = { ...stored("w", float32([1, 2])), shape: [1, 2] };
    await expect(gather(streamSafetensors([lies]))).rejects.toThrow(
      new RangeError("safetensors: tensor w is described as float32 [1,2], its values are float32 [2]"),
    );
    const wrongType = { ...stored("w", float32([1, 2])), dtype: "int32" as const };
    await expect(gather(streamSafetensors([wrongType]))).rejects.toThrow(/described as int32 \[2\]/);
    const twice = [stored("w", float32([1])), stored("w", float32([2]))];
    await expect(gather(streamSafetensors(twice))).rejects.toThrow(/two tensors are called w/);
    await expect(gather(streamSafetensors([stored("__metadata__", float32([1]))]))).rejects.toThrow(/cannot be called/);
  });
});

describe("opening as a file of weights", () => {
  test("tensors come by name and are read when they are asked for", async () => {
    const bytes = new Uint8Array(Buffer.concat([...encodeSafetensors(tensors, { note: "x" })]));
    const reads: number[] = [];
    const memory = bytesInMemory(bytes, "w.safetensors");
    const read = (offset: number, length: number) => {
      reads.push(offset);
      return memory.read(offset, length);
    };
    const source = { ...memory, read };
    const file = await openSafetensors(source);
    expect(file.format).toBe("safetensors");
    expect(file.metadata).toEqual(Object.assign(Object.create(null), { note: "x" }));
    expect([...file.tensors.keys()].sort()).toEqual([...tensors.keys()].sort());
    expect(reads).toEqual([0, 0]);
    for (const [name, array] of tensors) {
      const tensor = file.tensors.get(name)!;
      expect(tensor).toMatchObject({ name, dtype: array.dtype, shape: array.shape });
      expect(await tensor.read()).toEqual(array);
      const { offset, byteLength } = tensor.location!;
      expect(tensor.location!.source).toBe(source);
      expect(bytes.slice(offset, offset + byteLength)).toEqual(
        new Uint8Array(array.data.buffer.slice(array.data.byteOffset, array.data.byteOffset + array.byteLength)),
      );
    }
    expect(reads.length).toBe(2 + tensors.size);
  });

  test("what was opened can be written again, byte for byte", async () => {
    const bytes = new Uint8Array(Buffer.concat([...encodeSafetensors(tensors, { note: "x" })]));
    const file = await openSafetensors(bytesInMemory(bytes));
    expect(await gather(streamSafetensors(file.tensors.values(), file.metadata))).toEqual(bytes);
  });
});
