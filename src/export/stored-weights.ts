/** Weights as they are stored beside or inside an exported model: in which precision, and where. */
import { InputError } from "../array/input-error.ts";
import { bytesPerElement, sizeOf } from "../array/ndarray.ts";
import { float32ToFloat16 } from "../formats/float16.ts";
import type { ExternalInitializer } from "../onnx/model.ts";
import { readWeight, type Weight } from "../weights/placed-weights.ts";

export type ExportDtype = "float32" | "float16";

export const exportDtypes = ["float32", "float16"] as const satisfies readonly ExportDtype[];

/** Every weight begins on a page of its own, so that it can be mapped. */
const ALIGNMENT = 4096;

/** The weights of one model with their places in a file called `location`, one behind the other. */
export function layOutWeights(
  weights: ReadonlyMap<string, Weight>,
  dtype: ExportDtype,
  location: string,
): ExternalInitializer[] {
  let end = 0;
  return Array.from(weights, ([name, { shape }]) => {
    const offset = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    const length = sizeOf(shape) * bytesPerElement(dtype);
    end = offset + length;
    return { name, dtype, shape, external: { location, offset, length } };
  });
}

/** All of them as the content of that file, read one at a time. */
export async function* weightFile(
  layout: readonly ExternalInitializer[],
  read: (weight: ExternalInitializer) => Promise<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let end = 0;
  for (const weight of layout) {
    const { offset, length } = weight.external;
    if (offset > end) yield new Uint8Array(offset - end);
    yield await read(weight);
    end = offset + length;
  }
}

/**
 * The bytes of one weight in this precision.
 * @throws InputError for a number that is too large for it.
 */
export async function weightBytes(name: string, weight: Weight, dtype: ExportDtype): Promise<Uint8Array> {
  const { data } = await readWeight(weight);
  if (dtype === "float32") return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const half = float32ToFloat16(data);
  const lost = half.findIndex((bits, i) => (bits & INFINITY) === INFINITY && Number.isFinite(data[i]!));
  if (lost < 0) return new Uint8Array(half.buffer);
  throw new InputError(
    `${name} holds ${data[lost]}, expected at most 65504 in float16; export with --dtype float32 instead`,
  );
}

/** All bits of a float16's exponent: infinity or no number. */
const INFINITY = 0x7c00;
