/** Weights as values on the host. */
import { NDArray } from "../array/ndarray.ts";
import type { Weight, Weights } from "../engine/engine.ts";
import { asFloat32 } from "../formats/float16.ts";

/** The values as float32, those in files read one at a time. */
export async function readWeights(weights: Weights): Promise<Map<string, NDArray<"float32">>> {
  const values = new Map<string, NDArray<"float32">>();
  for (const [name, weight] of weights) values.set(name, await readWeight(weight));
  return values;
}

/** One weight as float32. */
export async function readWeight(weight: Weight): Promise<NDArray<"float32">> {
  return asFloat32(weight instanceof NDArray ? weight : await weight.read());
}
