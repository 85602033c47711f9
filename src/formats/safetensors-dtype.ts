/** Storing floating-point tensors in another precision, where no value may silently become infinite. */

import { InputError } from "../array/input-error.ts";
import { NDArray } from "../array/ndarray.ts";
import { asFloat32, float32ToBfloat16, float32ToFloat16 } from "./float16.ts";
import type { WritableTensor } from "./safetensors-write.ts";

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
  const widened = dtype === "float16" || (dtype === "bfloat16" && precision === "float32");
  if (widened) return undefined;
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
