/** The random numbers of sampling: those of image i depend on (seed, i) only. B batch, C channels, S side. */
import { int32, type NDArray } from "../array/ndarray.ts";
import { normalRows } from "../array/random.ts";
import type { ModelConfig } from "../models/family.ts";

/** Whose numbers: those of images `first` … `first + rows − 1`. */
interface NoiseOf {
  readonly seed: number;
  readonly first: number;
  readonly rows: number;
  readonly purpose?: string;
}

/** Normal numbers [B, …] for images `first` … at `step`: 0 is the start, k the k-th step. Rows from `rows` on are 0. */
export const drawNoise = (
  { seed, step, first, rows, purpose = "sample noise" }: NoiseOf & { readonly step: number },
  shape: readonly number[],
): NDArray<"float32"> =>
  normalRows(
    shape,
    Array.from({ length: rows }, (_, row) => ({ seed, purpose, step, index: first + row })),
  );

/** A batch to be drawn, and the noise of its images. */
export interface NoisyBatch {
  /** [B] */
  readonly y: NDArray<"int32">;
  /** Number of its first image. */
  readonly first: number;
  readonly rows: number;
  /** [B, C, S, S] at step k. */
  noiseOf(k: number): NDArray<"float32">;
}

/** The batch of a model's images with labels y [B]. */
export function noisyBatch(
  { inChannels, inputSize }: ModelConfig,
  { y, ...of }: NoiseOf & { readonly y: Int32Array },
): NoisyBatch {
  const shape = [y.length, inChannels, inputSize, inputSize];
  return { y: int32(y), first: of.first, rows: of.rows, noiseOf: (step) => drawNoise({ ...of, step }, shape) };
}
