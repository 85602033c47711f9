/** How a classifier and a teacher are trained where a data set has none: as the packaged ones were. */
import { adamWDefaults, type ClassifierSettings, type TrainSettings } from "tinyfusion";
import type { Budget } from "./budget.ts";

const warmupOf = (steps: number): number => Math.min(100, Math.floor(steps / 10));

/** The defaults of the command that trains the packaged classifier: clothes are moved by up to two pixels, too. */
export const classifierSettings = ({ classifierSteps: steps }: Budget): ClassifierSettings => ({
  seed: 0,
  steps,
  batchSize: 64,
  shift: 2,
  clipNorm: 1,
  emaDecay: 0.999,
  emaWarmup: true,
  learningRate: { base: 2e-3, kind: "cosine", final: 0, warmupSteps: warmupOf(steps) },
  adamw: { ...adamWDefaults, weightDecay: 0.01 },
});

/** The packaged teacher's last phase: a rate that falls from 2e-3 to 2e-5. */
export const teacherSettings = ({ teacherSteps: steps, name }: Budget): TrainSettings => ({
  seed: 0,
  steps,
  labelDrop: 0.1,
  recompute: false,
  clipNorm: 1,
  emaDecay: 0.9995,
  emaWarmup: true,
  ...(name === "full" ? { batchSize: 16, microBatch: 16 } : { batchSize: 4, microBatch: 4 }),
  learningRate: { base: 2e-3, kind: "cosine", final: 2e-5, warmupSteps: warmupOf(steps) },
  adamw: adamWDefaults,
  process: { kind: "gaussian", schedule: "squaredcos_cap_v2", steps: 1000 },
});
