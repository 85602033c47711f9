/** Gaussian diffusion as graphs: noising, posteriors and predictions. N batch; all images [N, C, H, W]. */
import { float32 } from "../array/ndarray.ts";
import { add, constant, div, exp, gather, maximum, minimum, mul, neg, reshape, split, sub } from "../graph/build.ts";
import { fixedDim, type Tensor } from "../graph/tensor.ts";
import type { Schedule } from "./schedule.ts";

/** Mean and log variance of a diagonal Gaussian. */
export interface DiagonalGaussian {
  readonly mean: Tensor;
  readonly logVariance: Tensor;
}

/** The schedule's value at each sample's step `index` [N] (int32), as [N, 1, 1, 1]. */
export function at(table: ArrayLike<number>, index: Tensor): Tensor {
  const values = gather(constant(float32(Float32Array.from(table))), index);
  return reshape(values, [...index.shape, 1, 1, 1]);
}

/** The timesteps of the original process that the model is given: [N] float32. */
export function modelTimesteps(schedule: Schedule, index: Tensor): Tensor {
  return gather(constant(float32(Float32Array.from(schedule.timesteps))), index);
}

/** x_t ~ q(x_t | x_0): √ᾱ x_0 + √(1 − ᾱ) ε (Ho et al. 2020, eq. 4). */
export function qSample(schedule: Schedule, xStart: Tensor, noise: Tensor, index: Tensor): Tensor {
  return add(
    mul(at(schedule.sqrtAlphasCumprod, index), xStart),
    mul(at(schedule.sqrtOneMinusAlphasCumprod, index), noise),
  );
}

/** The distribution q(x_{t−1} | x_t, x_0) (Ho et al. 2020, eq. 6 and 7); the variance of the first step is clipped. */
export function qPosterior(schedule: Schedule, xStart: Tensor, xT: Tensor, index: Tensor): DiagonalGaussian {
  const mean = add(
    mul(at(schedule.posteriorMeanCoef1, index), xStart),
    mul(at(schedule.posteriorMeanCoef2, index), xT),
  );
  return { mean, logVariance: at(schedule.posteriorLogVarianceClipped, index) };
}

/** x_0 from predicted noise. */
export function xStartFromNoise(schedule: Schedule, xT: Tensor, noise: Tensor, index: Tensor): Tensor {
  return sub(
    mul(at(schedule.sqrtRecipAlphasCumprod, index), xT),
    mul(at(schedule.sqrtRecipm1AlphasCumprod, index), noise),
  );
}

/** Predicted noise from x_0. */
export function noiseFromXStart(schedule: Schedule, xT: Tensor, xStart: Tensor, index: Tensor): Tensor {
  return div(
    sub(mul(at(schedule.sqrtRecipAlphasCumprod, index), xT), xStart),
    at(schedule.sqrtRecipm1AlphasCumprod, index),
  );
}

/** A model's output taken apart: the noise, and the variance fraction v if the variance is learned. */
export interface Prediction {
  readonly noise: Tensor;
  readonly fraction?: Tensor;
}

/** Splits the channels of an output that holds noise, or noise and variance fraction, for `channels`-channel images. */
export function splitPrediction(output: Tensor, channels: number): Prediction {
  if (fixedDim(output, 1) === channels) return { noise: output };
  const [noise, fraction] = split(output, 2, 1) as readonly [Tensor, Tensor];
  return { noise, fraction };
}

/**
 * p(x_{t−1} | x_t) as the model sees it, and its x_0. The learned variance interpolates between log β and the clipped
 * posterior variance (Nichol and Dhariwal 2021, eq. 15); without it the variance is the fixed "large" one, β.
 */
export function pMeanVariance(
  schedule: Schedule,
  { noise, fraction }: Prediction,
  xT: Tensor,
  index: Tensor,
  clip = false,
): DiagonalGaussian & { readonly xStart: Tensor } {
  const unclipped = xStartFromNoise(schedule, xT, noise, index);
  const xStart = clip ? minimum(maximum(unclipped, -1), 1) : unclipped;
  const { mean } = qPosterior(schedule, xStart, xT, index);
  return {
    mean,
    xStart,
    logVariance: fraction ? learnedLogVariance(schedule, fraction, index) : fixedLarge(schedule, index),
  };
}

function learnedLogVariance(schedule: Schedule, fraction: Tensor, index: Tensor): Tensor {
  const high = at(schedule.logBetas, index);
  const low = at(schedule.posteriorLogVarianceClipped, index);
  const weight = mul(add(fraction, 1), 0.5);
  return add(mul(weight, high), mul(sub(1, weight), low));
}

/** β, with the posterior's variance at the first step, where β would be too large for the decoder. */
function fixedLarge(schedule: Schedule, index: Tensor): Tensor {
  const { betas, posteriorVariance } = schedule;
  return at(
    betas.map((beta, i) => Math.log(i === 0 ? (posteriorVariance[1] ?? beta) : beta)),
    index,
  );
}

/** KL divergence of two diagonal Gaussians in nats, element by element. */
export function normalKl(a: DiagonalGaussian, b: DiagonalGaussian): Tensor {
  const ratio = sub(b.logVariance, a.logVariance);
  const distance = sub(a.mean, b.mean);
  const spread = add(exp(neg(ratio)), mul(mul(distance, distance), exp(neg(b.logVariance))));
  return mul(add(sub(ratio, 1), spread), 0.5);
}
