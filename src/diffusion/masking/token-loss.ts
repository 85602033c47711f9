/**
 * The diffusion loss of masked tokens (Li et al. 2024, eq. 2). N images, L tokens of C numbers each, conditions of D
 * numbers, M tokens to denoise: every masked token of every image, once for each copy.
 */
import { div, fill, gather, reshape, scatterAdd } from "../../graph/build.ts";
import { dimAt, fixedDim, type Tensor } from "../../graph/tensor.ts";
import { type DiffusionBatch, diffusionLoss, type LossTerms } from "../losses.ts";
import type { Model } from "../model.ts";
import type { Schedule } from "../schedule.ts";

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

/** Terms for each token [M], and for each image their mean over its tokens [N]. */
export interface TokenLoss extends LossTerms {
  readonly tokens: LossTerms;
}

/** The loss of the tokens that `batch` names under conditions z [N, L, D]. */
export function tokenLoss(denoiser: TokenDenoiser, schedule: Schedule, z: Tensor, batch: TokenBatch): TokenLoss {
  const { loss, mse, vb } = diffusionLoss(tokenModel(denoiser, z), schedule, tokenImages(batch));
  const perImage = (values: Tensor) => meanOverTokens(values, batch);
  return {
    loss: perImage(loss),
    ...(mse && { mse: perImage(mse) }),
    ...(vb && { vb: perImage(vb) }),
    tokens: { loss, ...(mse && { mse }), ...(vb && { vb }) },
  };
}

/** A denoiser of tokens as a model of images of one pixel; the labels y say which row of z is a token's condition. */
export function tokenModel(denoiser: TokenDenoiser, z: Tensor): Model {
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
