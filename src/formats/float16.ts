/** Half precision: IEEE float16 and bfloat16 bits to and from float32, exactly rounded (nearest, ties to even). */

import { NDArray } from "../array/ndarray.ts";

/** The float32 values of float16 bits; every value, NaN payloads included, is exact. */
export function float16ToFloat32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const result = new Float32Array(bits.length);
  const out = new Uint32Array(result.buffer);
  for (let i = 0; i < bits.length; i++) out[i] = widenFloat16(bits[i]!);
  return result;
}

/** Float16 bits of float32 values: 65,520 and above become infinity, tiny ones subnormal or a signed zero. */
export function float32ToFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = bitsOf(values);
  const result = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) result[i] = narrowToFloat16(bits[i]!);
  return result;
}

/** The float32 values of bfloat16 bits, exact. */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const result = new Float32Array(bits.length);
  const out = new Uint32Array(result.buffer);
  for (let i = 0; i < bits.length; i++) out[i] = bits[i]! << 16;
  return result;
}

/** Bfloat16 bits of float32 values. */
export function float32ToBfloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = bitsOf(values);
  const result = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) result[i] = narrowToBfloat16(bits[i]!);
  return result;
}

/**
 * Any floating-point array as float32: halves exactly, float64 rounded; a float32 array is returned as it is.
 * @throws TypeError for integer and boolean arrays.
 */
export function asFloat32(array: NDArray): NDArray<"float32"> {
  const { dtype, shape, data } = array;
  switch (dtype) {
    case "float32":
      return array as NDArray<"float32">;
    case "float16":
      return new NDArray("float32", shape, float16ToFloat32(data as Uint16Array));
    case "bfloat16":
      return new NDArray("float32", shape, bfloat16ToFloat32(data as Uint16Array));
    case "float64":
      return new NDArray("float32", shape, Float32Array.from(data as Float64Array));
    default:
      throw new TypeError(`as float32: expected a floating-point array, got ${dtype} [${shape}]`);
  }
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

function widenFloat16(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13); // bias 127 − 15
  if (fraction === 0) return sign;
  const shift = Math.clz32(fraction) - 21; // brings the leading one to bit 10
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

function narrowToFloat16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7c00 | ((magnitude >>> 13) & 0x3ff || 0x200); // NaN stays NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65,520: half way from the largest half to 65,536
  if (magnitude >= 0x38800000) return sign | roundShift(magnitude - 0x38000000, 13); // 2^-14: the smallest normal half
  if (magnitude < 0x33000000) return sign; // below 2^-25, half of the smallest subnormal
  const exponent = magnitude >>> 23;
  return sign | roundShift((magnitude & 0x7fffff) | 0x800000, 126 - exponent);
}

function narrowToBfloat16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | ((bits >>> 16) & 0x7f ? 0 : 0x40); // NaN stays NaN
  return roundShift(bits, 16) & 0xffff;
}

/** `value / 2^shift` for an unsigned 32-bit value, rounded to the nearest integer, ties to even; 1 ≤ shift ≤ 24. */
function roundShift(value: number, shift: number): number {
  const kept = value >>> shift;
  const rest = value & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept;
}
