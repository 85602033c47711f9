/** The random numbers of sampling: those of image i depend on (seed, i) only. */
import { float32, type NDArray, sizeOf } from "../array/ndarray.ts";
import { normalsInto } from "../array/random.ts";

/** Normal numbers [B, …] for images `first` … at `step`: 0 is the start, k the k-th step. Rows from `rows` on are 0. */
export function drawNoise(
  { seed, step, first, rows }: { seed: number; step: number; first: number; rows: number },
  shape: readonly number[],
): NDArray<"float32"> {
  const noise = new Float32Array(sizeOf(shape));
  const size = noise.length / shape[0]!;
  for (let row = 0; row < rows; row++) {
    const key = { seed, purpose: "sample noise", step, index: first + row };
    normalsInto(noise.subarray(row * size, (row + 1) * size), key);
  }
  return float32(noise, shape);
}
