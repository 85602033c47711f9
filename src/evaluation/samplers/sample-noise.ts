/** The random numbers of sampling: those of image i depend on (seed, i) only. */
import type { NDArray } from "../../array/ndarray.ts";
import { normalRows } from "../../array/random.ts";

/** Normal numbers [B, …] for images `first` … at `step`: 0 is the start, k the k-th step. Rows from `rows` on are 0. */
export const drawNoise = (
  { seed, step, first, rows }: { seed: number; step: number; first: number; rows: number },
  shape: readonly number[],
): NDArray<"float32"> =>
  normalRows(
    shape,
    Array.from({ length: rows }, (_, row) => ({ seed, purpose: "sample noise", step, index: first + row })),
  );
