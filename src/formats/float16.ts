/**
 * Half precision: IEEE float16 and bfloat16 bits to and from float32, exactly rounded (nearest, ties to even); and storing
 * tensors in another precision, where no value may silently become infinite.
 */

import { InputError } from "../array/input-error.ts";
import { NDArray } from "../array/ndarray.ts";
import type { WritableTensor } from "./safetensors-write.ts";

/** The float32 values of float16 bits; every value, NaN payloads included, is exact. */
export function float16ToFloat32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const result = new Float32Array(bits.length);
  const out = new Uint32Array(result.buffer);
  for (let i = 0; i < bits.length; i++) out[i] = upcastFloat16(bits[i]!);
  return result;
}

/** Float16 bits of float32 values: 65,520 and above become infinity, tiny ones subnormal or a signed zero. */
export function float32ToFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = bitsOf(values);
  const result = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) result[i] = roundToFloat16(bits[i]!);
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
  for (let i = 0; i < bits.length; i++) result[i] = roundToBfloat16(bits[i]!);
  return result;
}

/**
 * Any floating-point array as float32: float16 and bfloat16 exactly, float64 rounded; a float32 array is returned as it is.
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

function upcastFloat16(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13); // bias 127 − 15
  if (fraction === 0) return sign;
  const shift = Math.clz32(fraction) - 21; // brings the leading one to bit 10
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

function roundToFloat16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7c00 | ((magnitude >>> 13) & 0x3ff || 0x200); // NaN stays NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65,520: half way from the largest float16 to 65,536
  if (magnitude >= 0x38800000) return sign | roundShift(magnitude - 0x38000000, 13); // 2^-14: the smallest normal float16
  if (magnitude < 0x33000000) return sign; // below 2^-25, half of the smallest subnormal
  const exponent = magnitude >>> 23;
  return sign | roundShift((magnitude & 0x7fffff) | 0x800000, 126 - exponent);
}

function roundToBfloat16(bits: number): number {
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

/** Precisions that weights are stored in. */
export type StoredPrecision = "float32" | "float16" | "bfloat16";

/** Magnitudes from here on round to infinity: half a step above the largest finite value. */
const overflow: Readonly<Record<StoredPrecision, number>> = {
  float32: 2 ** 128 - 2 ** 103,
  float16: 65_520,
  bfloat16: 2 ** 128 - 2 ** 119,
};
const largest: Readonly<Record<StoredPrecision, number>> = {
  float32: 2 ** 128 - 2 ** 104,
  float16: 65_504,
  bfloat16: 2 ** 128 - 2 ** 120,
};

/**
 * A tensor that is stored as `precision`, converted when it is read. Integers and booleans, and tensors that have the
 * precision already, are the tensor itself. Infinities and NaN stay what they are; float64 is rounded to float32 first.
 * @throws InputError from `read`, naming the tensor, if a finite value would become infinite.
 */
export function storedAs(tensor: WritableTensor, precision: StoredPrecision): WritableTensor {
  const { name, dtype, shape } = tensor;
  if (dtype === precision || !isFloating(dtype)) return tensor;
  const read = async () => {
    const array = await tensor.read();
    const found = largestBeyond(array, precision);
    if (found !== undefined) throw tooLarge(precision, [[name, found]]);
    return converted(array, precision);
  };
  return { name, dtype: precision, shape, read };
}

/**
 * Reads every tensor once, to say all at once which do not fit a precision before anything is written.
 * @throws InputError naming the tensors whose finite values `precision` cannot hold, with the largest of each.
 */
export async function requireRange(tensors: Iterable<WritableTensor>, precision: StoredPrecision): Promise<void> {
  const outside: [string, number][] = [];
  for (const tensor of tensors) {
    if (tensor.dtype === precision || !isFloating(tensor.dtype)) continue;
    const found = largestBeyond(await tensor.read(), precision);
    if (found !== undefined) outside.push([tensor.name, found]);
  }
  if (outside.length > 0) throw tooLarge(precision, outside);
}

/** The largest finite magnitude that would become infinite, if there is one. */
function largestBeyond({ dtype, data }: NDArray, precision: StoredPrecision): number | undefined {
  const isUpcast = dtype === "float16" || (dtype === "bfloat16" && precision === "float32");
  if (isUpcast) return undefined;
  const values = dtype === "bfloat16" ? asFloat32(new NDArray(dtype, [data.length], data as Uint16Array)).data : data;
  const limit = overflow[precision];
  let found = 0;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i] as number);
    if (magnitude >= limit && magnitude > found && magnitude !== Infinity) found = magnitude;
  }
  return found > 0 ? found : undefined;
}

function converted(array: NDArray, precision: StoredPrecision): NDArray {
  const floats = asFloat32(array);
  switch (precision) {
    case "float32":
      return floats;
    case "float16":
      return new NDArray("float16", array.shape, float32ToFloat16(floats.data));
    case "bfloat16":
      return new NDArray("bfloat16", array.shape, float32ToBfloat16(floats.data));
  }
}

function isFloating(dtype: string): boolean {
  return dtype === "float64" || dtype === "float32" || dtype === "float16" || dtype === "bfloat16";
}

function tooLarge(precision: StoredPrecision, outside: readonly (readonly [string, number])[]): InputError {
  const shown = outside.slice(0, 8).map(([name, value]) => `${name} (${value.toPrecision(4)})`);
  const rest = outside.length > shown.length ? ` and ${outside.length - shown.length} more` : "";
  const other = precision === "float16" ? "bfloat16 or float32" : "float32";
  const remedy = precision === "float32" ? "are they weights?" : `store ${other}`;
  return new InputError(
    `cannot store as ${precision}, whose largest value is ${largest[precision].toPrecision(6)}: ` +
      `larger values are in ${shown.join(", ")}${rest}; ${remedy}`,
  );
}
