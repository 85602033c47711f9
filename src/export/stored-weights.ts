/** Weights as they are stored beside or inside an exported model: in which precision, and where. */
import { bytesPerElement, NDArray, sizeOf } from "../array/ndarray.ts";
import type { Weight } from "../engine/engine.ts";
import type { ExternalWeight } from "../engine/onnx/model.ts";
import { storedAs } from "../formats/float16.ts";
import { bytesOf } from "../formats/raw-array.ts";
import { readWeight } from "../weights/read-weights.ts";

export type ExportDtype = "float32" | "float16";

export const exportDtypes = ["float32", "float16"] as const satisfies readonly ExportDtype[];

/** Every weight begins on a page of its own, so that it can be mapped. */
const ALIGNMENT = 4096;

/** The weights of one model with their places in a file called `location`, one behind the other. */
export function layOutWeights(
  weights: ReadonlyMap<string, Weight>,
  dtype: ExportDtype,
  location: string,
): ExternalWeight[] {
  let end = 0;
  return Array.from(weights, ([name, weight]) => {
    const { shape } = weight;
    const own = weight.dtype === "int8" ? "int8" : dtype;
    const offset = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    const length = sizeOf(shape) * bytesPerElement(own);
    end = offset + length;
    return { name, dtype: own, shape, external: { location, offset, length } };
  });
}

/** All of them as the content of that file, read one at a time. */
export async function* weightFile(
  layout: readonly ExternalWeight[],
  read: (weight: ExternalWeight) => Promise<Uint8Array>,
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
 * The bytes of one weight in this precision; those of whole numbers as they are.
 * @throws InputError for a number that is too large for it.
 */
export async function weightBytes(name: string, weight: Weight, dtype: ExportDtype): Promise<Uint8Array> {
  if (weight.dtype === "int8") return bytesOf(weight instanceof NDArray ? weight : await weight.read());
  const wide = { name, dtype: "float32", shape: weight.shape, read: () => readWeight(weight) } as const;
  return bytesOf(await storedAs(wide, dtype).read());
}
