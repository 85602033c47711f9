/** Masked knowledge distillation (the paper, section 3.4): outputs, and block features without extreme activations. */

import { pMeanVariance } from "../diffusion/gaussian.ts";
import {
  boundAgainst,
  type Denoised,
  type DiffusionBatch,
  denoise,
  detachNoise,
  lossOf,
  squaredError,
} from "../diffusion/losses.ts";
import type { Model as Predict } from "../diffusion/model.ts";
import type { Schedule } from "../diffusion/schedule.ts";
import { abs, add, cast, less, mean, mul, sqrt, stopGradient, sub, sum } from "../graph/build.ts";
import { fixedDim, type Tensor } from "../graph/tensor.ts";

/** Student block → teacher block. */
export type LayerMap = readonly (readonly [student: number, teacher: number])[];

/** Whether these are pairs of blocks that student and teacher have. */
export function isLayerMap(pairs: unknown, studentDepth: number, teacherDepth: number): pairs is LayerMap {
  const isBelow = (block: unknown, depth: number) =>
    Number.isSafeInteger(block) && Number(block) >= 0 && Number(block) < depth;
  const isPair = (pair: unknown) =>
    Array.isArray(pair) && pair.length === 2 && isBelow(pair[0], studentDepth) && isBelow(pair[1], teacherDepth);
  return Array.isArray(pairs) && pairs.every(isPair);
}

/** `output`: predictions only; `features`: block features as well; `masked`: without extreme activations. */
export type DistillKind = "output" | "features" | "masked";

export interface DistillSettings {
  readonly kind: DistillKind;
  /** Activations further than this many standard deviations from their sample's mean are masked out. */
  readonly maskSigma: number;
  /** Share of the distillation loss against the plain one. */
  readonly share: number;
  readonly layerMap: LayerMap;
}

/** Share 0.9, masks at 2σ, as in the paper. */
export const distillDefaults = { maskSigma: 2, share: 0.9 } as const;

/** A model together with the outputs of its blocks, filled while it is traced. */
export interface TappedModel {
  readonly predict: Predict;
  readonly features: ReadonlyMap<number, Tensor>;
}

/** Per-sample terms [N]. */
export interface DistillTerms {
  readonly loss: Tensor;
  readonly mse: Tensor;
  readonly vb: Tensor | undefined;
  /** Distance to the teacher's noise plus, with learned variance, KL(teacher ‖ student) in bits. */
  readonly distillation: Tensor;
  readonly vbDistillation: Tensor | undefined;
  readonly features: Tensor | undefined;
  /** The plain diffusion loss. */
  readonly truth: Tensor;
}

/**
 * share · distillation + (1 − share) · diffusion + beta · features. Student and teacher see the same noised images; the
 * teacher sees `teacherLabels` if given (the original's output-only distillation does not drop them). `beta` is a scalar.
 */
export function distillLoss(
  student: TappedModel,
  teacher: TappedModel,
  schedule: Schedule,
  batch: DiffusionBatch,
  beta: Tensor,
  settings: DistillSettings,
  teacherLabels: Tensor = batch.y,
): DistillTerms {
  const taught = denoise(teacher.predict, schedule, { ...batch, y: teacherLabels });
  const learned = denoise(student.predict, schedule, batch);
  const { loss: truth, mse, vb } = lossOf(learned, schedule, batch, "mse");
  const { distance, bound } = outputDistance(learned, taught, schedule, batch);
  const distillation = bound ? add(distance, bound) : distance;
  const both = add(mul(distillation, settings.share), mul(truth, 1 - settings.share));
  const features =
    settings.kind === "output" ? undefined : featureDistance(student.features, teacher.features, settings);
  const loss = features ? add(both, mul(features, beta)) : both;
  return { loss, mse: mse!, vb, distillation, vbDistillation: bound, features, truth };
}

function outputDistance(learned: Denoised, taught: Denoised, schedule: Schedule, batch: DiffusionBatch) {
  const distance = squaredError(learned.prediction.noise, stopGradient(taught.prediction.noise));
  if (!learned.prediction.fraction || !taught.prediction.fraction) return { distance, bound: undefined };
  const { xT } = learned;
  const target = pMeanVariance(schedule, taught.prediction, xT, batch.index);
  const predicted = pMeanVariance(schedule, detachNoise(learned.prediction), xT, batch.index);
  return { distance, bound: boundAgainst(target, predicted, batch) };
}

/** Mean over layers of the mean squared difference of (masked) features: [N]. */
function featureDistance(
  student: ReadonlyMap<number, Tensor>,
  teacher: ReadonlyMap<number, Tensor>,
  { kind, maskSigma, layerMap }: DistillSettings,
): Tensor {
  const kept = (f: Tensor) => (kind === "masked" ? mul(f, moderateMask(f, maskSigma)) : f);
  const distances = layerMap.map(([s, t]) => squaredError(kept(student.get(s)!), kept(stopGradient(teacher.get(t)!))));
  return mul(
    distances.reduce((total, distance) => add(total, distance)),
    1 / layerMap.length,
  );
}

/** 1 where |f − mean| < sigma · std, each sample of f [N, T, D] by its own statistics (unbiased variance); no gradient. */
export function moderateMask(f: Tensor, sigma: number): Tensor {
  const x = stopGradient(f);
  const axes = [1, 2];
  const count = fixedDim(x, 1) * fixedDim(x, 2);
  const centered = sub(x, mean(x, axes, true));
  const variance = mul(sum(mul(centered, centered), axes, true), 1 / (count - 1));
  return cast(less(abs(centered), mul(sqrt(variance), sigma)), "float32");
}

/** β of update k of `total`: from `start` to 0, linearly over optimizer steps. */
export function betaAt(start: number, k: number, total: number): number {
  return total > 1 ? start * (1 - k / (total - 1)) : start;
}
