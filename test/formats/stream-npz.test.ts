/** A `.npz` file whose arrays come in pieces has the same bytes as one whose arrays are in memory. */
import { expect, test } from "vitest";
import { float32, NDArray } from "../../src/array/ndarray.ts";
import { encodeNpz, type StreamedArray, streamNpz } from "../../src/formats/npz.ts";
import { bytesOf } from "../../src/formats/raw-array.ts";

const arrays = new Map<string, NDArray>([
  [
    "arr_0",
    new NDArray(
      "uint8",
      [5, 7, 3],
      Uint8Array.from({ length: 105 }, (_, i) => (i * 37) % 256),
    ),
  ],
  ["arr_1", float32([1, 2, 3])],
]);

const inPieces = (name: string, array: NDArray, size: number): StreamedArray => ({
  ...{ name, dtype: array.dtype, shape: array.shape },
  async *chunks() {
    const bytes = bytesOf(array);
    for (let first = 0; first < bytes.length; first += size) yield bytes.subarray(first, first + size);
  },
});

async function joined(streamed: Iterable<StreamedArray>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of streamNpz(streamed)) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

test.each([1, 13, 1000])("in pieces of %d bytes", async (size) => {
  const streamed = Array.from(arrays, ([name, array]) => inPieces(name, array, size));
  expect((await joined(streamed)).equals(Buffer.concat([...encodeNpz(arrays)]))).toBe(true);
});

test("pieces that do not make the shape are refused", async () => {
  const short = { ...inPieces("a", float32([1, 2]), 8), shape: [3] };
  await expect(joined([short])).rejects.toThrow("zip entry a.npy: expected 140 bytes, got 136");
});
