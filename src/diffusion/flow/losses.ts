/** Training losses of flows, one number per sample. N batch; images [N, C, H, W]. */
import { add, div, mul, sub } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { perSampleMean, squaredError } from "../losses.ts";
import type { Model } from "../model.ts";
import { tensors } from "./arithmetic.ts";
import { determinant, type Interpolant, imageInterpolant } from "./path.ts";
import { noised, velocityOfPath } from "./prediction.ts";
import type { FlowProcess, WeightingName } from "./process.ts";

/** x_1 (the data) and noise [N, C, H, W], t [N] in the training interval, y [N] int32. */
export interface FlowBatch {
  readonly xStart: Tensor;
  readonly noise: Tensor;
  readonly t: Tensor;
  readonly y: Tensor;
}

/** A batch noised and predicted once; `target` is the velocity of the path. */
export interface FlowDenoised {
  readonly xT: Tensor;
  readonly output: Tensor;
  readonly target: Tensor;
}

/** Noises the batch and runs the model on it. */
export function denoiseFlow(model: Model, { path }: FlowProcess, { xStart, noise, t, y }: FlowBatch): FlowDenoised {
  const at = imageInterpolant(path, t);
  const xT = noised(at, xStart, noise);
  return { xT, output: model({ x: xT, t, y }), target: velocityOfPath(at, xStart, noise) };
}

/** The training loss [N] of a model on a batch. */
export function flowLoss(
  model: Model,
  process: FlowProcess,
  batch: FlowBatch,
): FlowDenoised & { readonly loss: Tensor } {
  const denoised = denoiseFlow(model, process, batch);
  return { ...denoised, loss: flowLossOf(denoised, process, batch) };
}

/** The factor of the squared error at each time (the original's `WeightType`), from the determinant D = α′σ − ασ′. */
const weights: { readonly [K in WeightingName]: ((at: Interpolant<Tensor>) => Tensor) | undefined } = {
  none: undefined,
  // The squared error of the velocity: an error of the noise is D / α times as large in the velocity.
  velocity: (at) => {
    const ratio = div(determinant(at, tensors), at.alpha);
    return mul(ratio, ratio);
  },
  // ½ g² / σ², the weight in the bound of the likelihood (Song et al. 2021, Maximum likelihood training of SBDMs).
  likelihood: (at) => div(determinant(at, tensors), mul(at.alpha, at.sigma)),
};

/** The loss [N]: the mean squared error of velocity or noise, or of the score times −σ, which is noise too. */
export function flowLossOf(
  { output, target }: FlowDenoised,
  { path, prediction, weighting = "none" }: FlowProcess,
  { noise, t }: FlowBatch,
): Tensor {
  if (prediction === "velocity") return squaredError(output, target);
  const at = imageInterpolant(path, t);
  const error = prediction === "noise" ? sub(output, noise) : add(mul(at.sigma, output), noise);
  const squares = mul(error, error);
  const weight = weights[weighting];
  return perSampleMean(weight ? mul(weight(at), squares) : squares);
}
