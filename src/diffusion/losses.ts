/** Training losses of Gaussian diffusion, one number per sample. N batch; images [N, C, H, W]. */
import { add, equal, exp, less, log, maximum, mean, mul, stopGradient, sub, tanh, where } from "../graph/build.ts";
import { fixedDim, type Tensor } from "../graph/tensor.ts";
import {
  type DiagonalGaussian,
  modelTimesteps,
  normalKl,
  type Prediction,
  pMeanVariance,
  qPosterior,
  qSample,
  splitPrediction,
} from "./gaussian.ts";
import type { Predictor } from "./predictor.ts";
import type { Schedule } from "./schedule.ts";

/** x_0 and noise [N, C, H, W], index [N] int32 (the step within the schedule), y [N] int32. */
export interface DiffusionBatch {
  readonly xStart: Tensor;
  readonly noise: Tensor;
  readonly index: Tensor;
  readonly y: Tensor;
}

/**
 * Per-sample terms [N] of the training loss: the squared error of the noise `mse` plus, with a learned variance, the
 * variational bound `vb`, in which the mean is detached.
 */
export type LossTerms = { readonly loss: Tensor; readonly mse: Tensor; readonly vb?: Tensor };

/** A batch noised and predicted once; losses and distillation are made from it. */
export interface Denoised {
  readonly xT: Tensor;
  readonly output: Tensor;
  readonly prediction: Prediction;
}

/** Noises the batch and runs the model on it. */
export function denoise(model: Predictor, schedule: Schedule, { xStart, noise, index, y }: DiffusionBatch): Denoised {
  const xT = qSample(schedule, xStart, noise, index);
  const output = model({ x: xT, t: modelTimesteps(schedule, index), y });
  return { xT, output, prediction: splitPrediction(output, fixedDim(xStart, 1)) };
}

/** The training loss of a batch that was noised and predicted. */
export function lossOf({ xT, prediction }: Denoised, schedule: Schedule, batch: DiffusionBatch): LossTerms {
  const mse = squaredError(prediction.noise, batch.noise);
  if (!prediction.fraction) return { loss: mse, mse };
  const vb = variationalBound(schedule, detachNoise(prediction), xT, batch);
  return { loss: add(mse, vb), mse, vb };
}

/** The prediction whose noise (so its mean) gets no gradient: the bound then trains the variance only. */
export function detachNoise({ noise, fraction }: Prediction): Prediction {
  return fraction ? { noise: stopGradient(noise), fraction } : { noise: stopGradient(noise) };
}

/** Mean over all axes but the first: [N]. */
export function perSampleMean(x: Tensor): Tensor {
  return mean(
    x,
    x.shape.map((_, axis) => axis).filter((axis) => axis > 0),
  );
}

/** Mean squared difference per sample [N]. */
export function squaredError(a: Tensor, b: Tensor): Tensor {
  const difference = sub(a, b);
  return perSampleMean(mul(difference, difference));
}

/** KL(q(x_{t−1} | x_t, x_0) ‖ p) in bits per dimension; at the first step the decoder's negative log likelihood. */
export function variationalBound(
  schedule: Schedule,
  prediction: Prediction,
  xT: Tensor,
  batch: DiffusionBatch,
): Tensor {
  const posterior = qPosterior(schedule, batch.xStart, xT, batch.index);
  return boundAgainst(posterior, pMeanVariance(schedule, prediction, xT, batch.index), batch);
}

/** The bound with any Gaussian in place of the true posterior: the teacher's, in distillation. */
export function boundAgainst(
  target: DiagonalGaussian,
  predicted: DiagonalGaussian,
  { xStart, index }: DiffusionBatch,
): Tensor {
  const kl = perSampleMean(normalKl(target, predicted));
  const nll = mul(perSampleMean(discretizedLogLikelihood(xStart, predicted)), -1);
  return mul(where(equal(index, 0), nll, kl), 1 / Math.LN2);
}

/** Log likelihood of 8-bit pixels scaled to [−1, 1] under a discretised Gaussian (Ho et al. 2020, eq. 13). */
function discretizedLogLikelihood(x: Tensor, { mean: mu, logVariance }: DiagonalGaussian): Tensor {
  const centered = sub(x, mu);
  const invStd = exp(mul(logVariance, -0.5));
  const cdfPlus = approximateNormalCdf(mul(invStd, add(centered, 1 / 255)));
  const cdfMinus = approximateNormalCdf(mul(invStd, sub(centered, 1 / 255)));
  const logOf = (p: Tensor) => log(maximum(p, 1e-12));
  const inside = where(less(0.999, x), logOf(sub(1, cdfMinus)), logOf(sub(cdfPlus, cdfMinus)));
  return where(less(x, -0.999), logOf(cdfPlus), inside);
}

function approximateNormalCdf(x: Tensor): Tensor {
  const cube = mul(mul(x, x), x);
  return mul(add(tanh(mul(add(x, mul(cube, 0.044715)), Math.sqrt(2 / Math.PI))), 1), 0.5);
}
