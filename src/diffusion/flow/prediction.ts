/** What a flow model's output means, and its training loss. N batch; all images [N, C, H, W], times [N]. */
import { add, div, mul, neg, sub } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { perSampleMean, squaredError } from "../losses.ts";
import type { Predictor, PredictorInputs } from "../predictor.ts";
import type { FlowProcess, PredictionName, WeightingName } from "../process.ts";
import { determinant, type Interpolant, imageInterpolant, tensors } from "./path.ts";

/** x_t = α x_1 + σ ε of data x_1 and noise ε. */
export function noised({ alpha, sigma }: Interpolant<Tensor>, data: Tensor, noise: Tensor): Tensor {
  return add(mul(alpha, data), mul(sigma, noise));
}

/** The velocity of that path, α′ x_1 + σ′ ε: what a velocity model learns. */
export function velocityOfPath({ dAlpha, dSigma }: Interpolant<Tensor>, data: Tensor, noise: Tensor): Tensor {
  return add(mul(dAlpha, data), mul(dSigma, noise));
}

/** Velocity and noise belong together: with x, each gives the other. */
interface VelocityAndNoise {
  readonly velocity: Tensor;
  readonly noise: Tensor;
}

type Conversion = (output: Tensor, x: Tensor, at: Interpolant<Tensor>) => VelocityAndNoise;

const conversions: { readonly [K in PredictionName]: Conversion } = {
  velocity: (velocity, x, at) => ({
    velocity,
    noise: div(sub(mul(at.dAlpha, x), mul(at.alpha, velocity)), determinant(at, tensors)),
  }),
  noise: (noise, x, at) => ({
    velocity: div(sub(mul(at.dAlpha, x), mul(determinant(at, tensors), noise)), at.alpha),
    noise,
  }),
  score: (score, x, at) => conversions.noise(neg(mul(at.sigma, score)), x, at),
};

/** The drift of the probability flow, and the score ∇ log p_t(x) = −ε / σ. */
export interface FlowField {
  readonly velocity: Tensor;
  readonly score: Tensor;
}

/** The velocity and the score of a model at x and t; with guidance, give a model that guides itself. */
export function flowField(
  model: Predictor,
  { path, prediction }: FlowProcess,
  { x, t, y }: PredictorInputs,
): FlowField {
  const at = imageInterpolant(path, t);
  const output = model({ x, t, y });
  const { velocity, noise } = conversions[prediction](output, x, at);
  return { velocity, score: prediction === "score" ? output : neg(div(noise, at.sigma)) };
}

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
export function denoiseFlow(model: Predictor, { path }: FlowProcess, { xStart, noise, t, y }: FlowBatch): FlowDenoised {
  const at = imageInterpolant(path, t);
  const xT = noised(at, xStart, noise);
  return { xT, output: model({ x: xT, t, y }), target: velocityOfPath(at, xStart, noise) };
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
