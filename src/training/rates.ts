/** What changes with the step number: learning rate and averaging decay. */

/** `constant` after warm-up, or `cosine` from `base` to `final` over all steps (PyTorch's CosineAnnealingLR). */
export interface LearningRate {
  readonly base: number;
  readonly kind: "constant" | "cosine";
  readonly final: number;
  readonly warmupSteps: number;
  /** Share of the run after which cosine has ended and stays at `final`; 1 by default. */
  readonly span?: number;
}

/** How many steps a run takes, and how many its schedules were planned for: after those they keep their last value. */
export interface SchedulePlan {
  readonly steps: number;
  /** Those of the run by default. */
  readonly scheduleSteps?: number | undefined;
}

/** The step of a schedule that step k of a run has the values of, and its total. */
export function scheduleAt(
  k: number,
  { steps, scheduleSteps: total = steps }: SchedulePlan,
): { k: number; total: number } {
  return { k: Math.min(k, total - 1), total };
}

/** The learning rate of step k (from 0) of `total`. */
export function learningRateAt(rate: LearningRate, k: number, total: number): number {
  const { base, kind, final, warmupSteps, span = 1 } = rate;
  const warmup = Math.min(1, (k + 1) / (warmupSteps + 1));
  if (kind === "constant") return base * warmup;
  return warmup * (final + (base - final) * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, k / (total * span)))));
}

/**
 * Decay of the moving average at update k (from 0): min(decay, (1 + k) / (10 + k)), so that a short run's average
 * forgets its start; without warm-up the plain decay, as in the original.
 */
export function emaDecayAt(decay: number, k: number, warmup = true): number {
  return warmup ? Math.min(decay, (1 + k) / (10 + k)) : decay;
}
