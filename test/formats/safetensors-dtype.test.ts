import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32, int32, NDArray } from "../../src/array/ndarray.ts";
import { asFloat32, float32ToBfloat16 } from "../../src/formats/float16.ts";
import { requireRange, type StoredPrecision, storedAs } from "../../src/formats/safetensors-dtype.ts";
import type { WritableTensor } from "../../src/formats/safetensors-write.ts";

const stored = (name: string, array: NDArray): WritableTensor => ({
  name,
  dtype: array.dtype,
  shape: array.shape,
  read: async () => array,
});
const doubles = (...values: number[]) => new NDArray("float64", [values.length], Float64Array.from(values));
const brains = (...values: number[]) =>
  new NDArray("bfloat16", [values.length], float32ToBfloat16(Float32Array.from(values)));

/** The values that a tensor has after it was stored. */
async function values(tensor: WritableTensor): Promise<number[]> {
  const array = await tensor.read();
  expect([array.dtype, array.shape]).toEqual([tensor.dtype, tensor.shape]);
  return [...asFloat32(array).data];
}

describe("storing in another precision", () => {
  test.each<[StoredPrecision, number]>([
    ["float32", Math.fround(1 / 3)],
    ["float16", 0.333251953125],
    ["bfloat16", 0.333984375],
  ])("1/3 as %s", async (precision, third) => {
    for (const array of [float32([1 / 3, -2]), doubles(1 / 3, -2)]) {
      const tensor = storedAs(stored("w", array), precision);
      expect(tensor).toMatchObject({ name: "w", dtype: precision, shape: [2] });
      expect(await values(tensor)).toEqual([third, -2]);
    }
  });

  test("bfloat16 becomes float16 and float32 with its own values", async () => {
    const tensor = stored("w", brains(1.5, -0.0078125));
    expect(await values(storedAs(tensor, "float16"))).toEqual([1.5, -0.0078125]);
    expect(await values(storedAs(tensor, "float32"))).toEqual([1.5, -0.0078125]);
  });

  test("integers, and tensors that have the precision, are left alone", () => {
    const counts = stored("steps", int32([70_000]));
    expect(storedAs(counts, "float16")).toBe(counts);
    const floats = stored("w", float32([1]));
    expect(storedAs(floats, "float32")).toBe(floats);
  });

  test("nothing is read before the tensor is asked for", async () => {
    let reads = 0;
    const tensor = { ...stored("w", float32([1])), read: async () => float32([++reads]) };
    const half = storedAs(tensor, "float16");
    expect(reads).toBe(0);
    await half.read();
    expect(reads).toBe(1);
  });

  // The largest value that fits, and the next: half a step above the largest finite number.
  test.each<[StoredPrecision, NDArray, NDArray, RegExp]>([
    [
      "float16",
      float32([65_519.99]),
      float32([-65_520]),
      /float16, whose largest value is 65504\.0.* w \(6\.552e\+4\); store bfloat16 or float32/,
    ],
    ["float16", brains(65_280), brains(65_536), /w \(6\.554e\+4\)/],
    ["float16", doubles(65_519), doubles(1e300), /w \(1\.000e\+300\)/],
    [
      "bfloat16",
      float32([3.396e38]),
      float32([3.4e38]),
      /bfloat16, whose largest value is 3\.38953e\+38.*; store float32$/,
    ],
    ["float32", doubles(3.4028235e38), doubles(3.4028236e38), /float32.*w \(3\.403e\+38\); are they weights/],
  ])("%s refuses by name what would become infinite", async (precision, fits, beyond, message) => {
    expect((await values(storedAs(stored("w", fits), precision))).every(Number.isFinite)).toBe(true);
    const refused = storedAs(stored("w", beyond), precision).read();
    await expect(refused).rejects.toThrow(InputError);
    await expect(refused).rejects.toThrow(message);
  });

  test("infinities and NaN alone are no reason to refuse", async () => {
    const tensor = storedAs(stored("w", float32([Infinity, Number.NaN, 1])), "float16");
    expect(await values(tensor)).toEqual([Infinity, Number.NaN, 1]);
  });

  test("all tensors out of range are named together", async () => {
    const tensors = [
      stored("a", float32([1])),
      stored("b", float32([7e4, -8e4])),
      stored("steps", int32([70_000])),
      stored("c", doubles(1e6)),
    ];
    await expect(requireRange(tensors, "float16")).rejects.toThrow(/in b \(8\.000e\+4\), c \(1\.000e\+6\); store/);
    await expect(requireRange(tensors, "bfloat16")).resolves.toBeUndefined();
    const many = Array.from({ length: 30 }, (_, i) => stored(`t${i}`, float32([1e5])));
    await expect(requireRange(many, "float16")).rejects.toThrow(/t7 \(1\.000e\+5\) and 22 more; store/);
  });
});
