/** Half precision, and tensors stored in another precision. */

import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32, int32, NDArray } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import {
  asFloat32,
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  requireRange,
  type StoredPrecision,
  storedAs,
} from "../../src/formats/float16.ts";
import type { WritableTensor } from "../../src/formats/safetensors-write.ts";

const allBits = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** The value of float16 bits, from its definition. */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest float32 above a non-negative float32. */
function next(value: number, by: 1 | -1): number {
  const bits = new Int32Array(Float32Array.of(value).buffer);
  bits[0]! += by;
  return new Float32Array(bits.buffer)[0]!;
}

describe("float16", () => {
  test("all 65,536 values widen as defined", () => {
    const values = float16ToFloat32(allBits);
    for (let bits = 0; bits < 65536; bits++) {
      if (!Object.is(values[bits], halfValue(bits))) expect([bits, values[bits]]).toEqual([bits, halfValue(bits)]);
    }
  });

  test("all 65,536 values come back unchanged, NaN payloads included", () => {
    expect(float32ToFloat16(float16ToFloat32(allBits))).toEqual(allBits);
  });

  test("between any two neighbours the nearest wins, and the even one in the middle", () => {
    for (let bits = 0; bits < 0x7c00; bits++) {
      const above = bits === 0x7bff ? 65536 : halfValue(bits + 1); // rounds to infinity as if it were 65,536
      const middle = (halfValue(bits) + above) / 2; // exact in float32
      const even = bits % 2 === 0 ? bits : bits + 1;
      const found = float32ToFloat16(Float32Array.of(middle, next(middle, -1), next(middle, 1), -middle));
      if (found.join() !== [even, bits, bits + 1, even + 0x8000].join()) {
        expect([bits, ...found]).toEqual([bits, even, bits, bits + 1, even + 0x8000]);
      }
    }
  });

  test("extremes become infinity and signed zero, NaN stays NaN", () => {
    const values = Float32Array.of(3e38, -1e6, 65519.996, 1e-30, -1e-30, 1e-45, Number.NaN);
    expect([...float32ToFloat16(values)].map((bits) => bits.toString(16))).toEqual([
      "7c00",
      "fc00",
      "7bff",
      "0",
      "8000",
      "0",
      "7e00",
    ]);
    const narrowNaN = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer);
    expect([...float32ToFloat16(narrowNaN)].map((bits) => bits.toString(16))).toEqual(["7e00", "fe00"]);
  });
});

describe("bfloat16", () => {
  test("all 65,536 values come back unchanged, NaN payloads included", () => {
    expect(float32ToBfloat16(bfloat16ToFloat32(allBits))).toEqual(allBits);
  });

  test("known values and rounding to even", () => {
    expect([...bfloat16ToFloat32(Uint16Array.of(0x3f80, 0xc000, 0x7f80))]).toEqual([1, -2, Number.POSITIVE_INFINITY]);
    const values = Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 3.4e38);
    expect([...float32ToBfloat16(values)]).toEqual([0x3f80, 0x3f82, 0x3f81, 0x7f80]);
    const narrowNaN = new Float32Array(Uint32Array.of(0x7f800001).buffer);
    expect([...float32ToBfloat16(narrowNaN)]).toEqual([0x7fc0]);
  });

  test("rounding is never off by more than half a step", () => {
    const values = normals({ seed: 1, purpose: "bf16", step: 0, index: 0 }, 10_000);
    const rounded = bfloat16ToFloat32(float32ToBfloat16(values));
    expect(values.every((value, i) => Math.abs(rounded[i]! - value) <= Math.abs(value) * 2 ** -8)).toBe(true);
  });
});

test("floating-point arrays become float32, others are refused", () => {
  const half = new NDArray("float16", [1, 2], Uint16Array.of(0x3c00, 0xc000));
  expect(asFloat32(half)).toEqual(new NDArray("float32", [1, 2], Float32Array.of(1, -2)));
  expect([...asFloat32(new NDArray("bfloat16", [1], Uint16Array.of(0x3f80))).data]).toEqual([1]);
  expect([...asFloat32(new NDArray("float64", [1], Float64Array.of(0.5))).data]).toEqual([0.5]);
  expect(() => asFloat32(new NDArray("int32", [1], Int32Array.of(1)))).toThrow(TypeError);
});

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
