/** Images of a row. */
import type { NDArray } from "../../src/array/ndarray.ts";
import { type SampleImagesRequest, sampleImages } from "../../src/sampling/sample-images.ts";
import { engine } from "./evaluate.ts";
import type { Row } from "./models.ts";

/** The images for these labels, or for so many; by default in internal batches of 8. */
export async function draw(
  { model, weights, process }: Row,
  labels: Int32Array | number,
  change: Partial<SampleImagesRequest> = {},
): Promise<NDArray<"float32">> {
  const fixed = { engine, model, weights, process, labels, seed: 7, internalBatch: 8 };
  return (await sampleImages({ ...fixed, ...change })).images;
}
