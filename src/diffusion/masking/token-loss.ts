/**
 * The diffusion loss of masked tokens (Li et al. 2024, eq. 2). N images, L tokens of C numbers each, conditions of D
 * numbers, M tokens to denoise: every masked token of every image, once for each copy.
 */
import { float32, int32, type NDArray } from "../../array/ndarray.ts";
import { integers, normals, type RandomKey } from "../../array/random.ts";
import { div, fill, gather, reshape, scatterAdd } from "../../graph/build.ts";
import { dimAt, fixedDim, type Tensor } from "../../graph/tensor.ts";
import { type DiffusionBatch, denoise, type LossTerms, lossOf } from "../losses.ts";
import type { Predictor } from "../predictor.ts";
import type { Schedule } from "../schedule.ts";
import { type TokenOrder, tokenRows, visiblePlaces } from "./masks.ts";

/** Noise and variance fractions [M, 2C] of tokens x [M, C] at timesteps t [M] under conditions z [M, D]. */
export type TokenDenoiser = (inputs: { x: Tensor; t: Tensor; z: Tensor }) => Tensor;

export interface TokenBatch {
  /** [N, L, C] */
  readonly target: Tensor;
  /** Rows n·L + l, int32 [M]. */
  readonly token: Tensor;
  /** The image n of each, int32 [M]. */
  readonly sample: Tensor;
  /** Steps within the schedule, int32 [M]. */
  readonly index: Tensor;
  /** [M, C] */
  readonly noise: Tensor;
}

/** The loss terms [M] of the tokens that `batch` names under conditions z [N, L, D]. */
export function tokenLoss(denoiser: TokenDenoiser, schedule: Schedule, z: Tensor, batch: TokenBatch): LossTerms {
  const images = tokenImages(batch);
  return lossOf(denoise(tokenModel(denoiser, z), schedule, images), schedule, images);
}

/** A denoiser of tokens as a model of images of one pixel; the labels y are the rows of z that are the tokens' conditions. */
export function tokenModel(denoiser: TokenDenoiser, z: Tensor): Predictor {
  const conditions = rowsOf(z);
  return ({ x, t, y }) => asImages(denoiser({ x: asTokens(x), t, z: gather(conditions, y) }));
}

/** The tokens of a batch as images of one pixel, labelled with their rows. */
export function tokenImages({ target, token, index, noise }: TokenBatch): DiffusionBatch {
  return { xStart: asImages(gather(rowsOf(target), token)), noise: asImages(noise), index, y: token };
}

/** The mean of values [M] over the tokens of each image: [N]. */
export function meanOverTokens(values: Tensor, { sample, target }: Pick<TokenBatch, "sample" | "target">): Tensor {
  const images = dimAt(target, 0);
  return div(scatterAdd(sample, values, images), scatterAdd(sample, fill(1, values.shape), images));
}

/** [N, L, D] → [N·L, D] */
const rowsOf = (x: Tensor): Tensor => reshape(x, [fixedDim(x, 0) * fixedDim(x, 1), dimAt(x, 2)]);

/** [M, C] → [M, C, 1, 1] */
export const asImages = (x: Tensor): Tensor => reshape(x, [...x.shape, 1, 1]);

/** [M, C, 1, 1] → [M, C] */
export const asTokens = (x: Tensor): Tensor => reshape(x, x.shape.slice(0, 2));

export interface TokenDrawSettings {
  /** Masked tokens of each image. */
  readonly masked: number;
  readonly bufferSize: number;
  /** C */
  readonly tokenSize: number;
  /** How often each masked token is noised; the original takes 4. */
  readonly copies: number;
  /** Steps of the schedule. */
  readonly steps: number;
}

/** What a graph with `TokenBatch` and the encoder is fed. */
export interface TokenDraw {
  readonly visible: NDArray<"int32">; // [N, B + L − masked]
  readonly token: NDArray<"int32">; // [M]
  readonly sample: NDArray<"int32">; // [M]
  readonly index: NDArray<"int32">; // [M]
  readonly noise: NDArray<"float32">; // [M, C]
}

/**
 * Timesteps and noise of all masked tokens, copy after copy of the whole batch. An image's numbers depend on its keys
 * alone, and a token's on its place and copy: not on the rest of the batch nor on how much is masked.
 */
export function drawTokens(
  orders: readonly TokenOrder[],
  keys: readonly ((purpose: string) => RandomKey)[],
  { masked, bufferSize, tokenSize, copies, steps }: TokenDrawSettings,
): TokenDraw {
  const length = orders[0]!.length;
  const once = tokenRows(orders, 0, masked);
  const timesteps = keys.map((key) => integers(key("timestep"), copies * length, steps));
  const noises = keys.map((key) => normals(key("noise"), copies * length * tokenSize));
  const total = copies * once.length;
  const [token, sample, index] = [new Int32Array(total), new Int32Array(total), new Int32Array(total)];
  const noise = new Float32Array(total * tokenSize);
  for (let m = 0; m < total; m++) {
    const row = once[m % once.length]!;
    const image = Math.floor(row / length);
    const drawn = Math.floor(m / once.length) * length + (row % length);
    [token[m], sample[m], index[m]] = [row, image, timesteps[image]![drawn]!];
    noise.set(noises[image]!.subarray(drawn * tokenSize, (drawn + 1) * tokenSize), m * tokenSize);
  }
  return {
    visible: visiblePlaces(orders, masked, bufferSize),
    token: int32(token),
    sample: int32(sample),
    index: int32(index),
    noise: float32(noise, [total, tokenSize]),
  };
}
