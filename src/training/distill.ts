/** Masked knowledge distillation (TinyFusion, arXiv 2412.01199): outputs, and block features without extreme activations. */
import { squaredError } from "../diffusion/losses.ts";
import { abs, add, cast, div, less, mean, mul, numelAlong, sqrt, stopGradient, sub, sum } from "../graph/build.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { LayerMap } from "../models/layer-pairs.ts";
import type { DistillTerms, Terms } from "./objective.ts";

/** `output`: predictions only; `features`: block features as well; `masked`: without extreme activations. */
export type DistillKind = "output" | "features" | "masked";

export interface DistillSettings {
  readonly kind: DistillKind;
  /** Activations further than this many standard deviations from their example's mean are masked out. */
  readonly maskSigma: number;
  /** Weight of the distillation loss; the task loss has the rest, 1 − weight. */
  readonly weight: number;
  readonly layerMap: LayerMap;
}

/** Weight 0.9, masks at 2σ, as in the paper. */
export const distillDefaults = { maskSigma: 2, weight: 0.9 } as const;

/** Outputs of blocks by number, filled while a model is traced. */
export type Features = ReadonlyMap<number, Tensor>;

/**
 * The recovery loss: α_KD · L_KD + α_Diff · L_Diff + β · L_Rep (the paper, "Masked Knowledge Distillation") with
 * α_KD = `weight` and α_Diff = 1 − `weight`. L_KD is the distance to the teacher's output, L_Diff the task loss, L_Rep the
 * distance of block features. Returns the student's terms [N], of which `diffusion` is L_Diff; `beta` is a scalar.
 */
export function distillLoss(
  { task, distillation }: DistillTerms,
  student: Features,
  teacher: Features,
  beta: Tensor,
  settings: DistillSettings,
): Terms {
  const both = add(mul(distillation, settings.weight), mul(task.loss, 1 - settings.weight));
  const features = settings.kind === "output" ? undefined : featureDistance(student, teacher, settings);
  const loss = features ? add(both, mul(features, beta)) : both;
  const { loss: diffusion, ...parts } = task;
  return { loss, distillation, ...(features && { features }), diffusion, ...parts };
}

/** Mean over layers of the mean squared difference of (masked) features: [N]. */
function featureDistance(student: Features, teacher: Features, { kind, maskSigma, layerMap }: DistillSettings): Tensor {
  const kept = (f: Tensor) => (kind === "masked" ? mul(f, moderateMask(f, maskSigma)) : f);
  const distances = layerMap.map(([s, t]) => squaredError(kept(student.get(s)!), kept(stopGradient(teacher.get(t)!))));
  return mul(
    distances.reduce((total, distance) => add(total, distance)),
    1 / layerMap.length,
  );
}

/**
 * 1 where |f − mean| < sigma · std, each example of f [N, T, D] by its own statistics (unbiased variance); no gradient.
 * Student and teacher are masked each by their own.
 */
export function moderateMask(f: Tensor, sigma: number): Tensor {
  const x = stopGradient(f);
  const axes = [1, 2];
  const count = numelAlong(x, axes);
  const centered = sub(x, mean(x, axes, true));
  const squares = sum(mul(centered, centered), axes, true);
  const variance = typeof count === "number" ? mul(squares, 1 / (count - 1)) : div(squares, sub(count, 1));
  return cast(less(abs(centered), mul(sqrt(variance), sigma)), "float32");
}

/** β of update k of `total`: from `start` to 0, linearly over optimizer steps. */
export function betaAt(start: number, k: number, total: number): number {
  return total > 1 ? start * (1 - k / (total - 1)) : start;
}
