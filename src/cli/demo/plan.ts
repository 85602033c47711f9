/** The demo's fixed settings: how each family's teacher is searched, recovered and sampled, and the time that may take. */
import { fileURLToPath } from "node:url";

interface Sampling {
  readonly steps: string;
  readonly headSteps?: string;
  readonly temperature?: number;
  readonly cfg: number;
  readonly cfgSchedule?: "constant";
}

/** What differs between the families; seconds are planned on two cores. */
export interface FamilyPlan {
  /** In `models/digits`. */
  readonly teacher: string;
  readonly recoverySteps: number;
  /** Peak learning rate of the recovery, and the weight of its feature loss at the start. */
  readonly recovery: { readonly learningRate: number; readonly beta: number };
  readonly sampling: Sampling;
  readonly quickSampling: Sampling;
  readonly seconds: Readonly<Record<"search" | "recovery" | "sampling" | "rest", number>>;
}

const dit: FamilyPlan = {
  teacher: "teacher.safetensors",
  recoverySteps: 1000,
  recovery: { learningRate: 4e-3, beta: 1e-2 },
  sampling: { steps: "ddim25", cfg: 2.5 },
  quickSampling: { steps: "ddim10", cfg: 2.5 },
  seconds: { search: 80, recovery: 150, sampling: 65, rest: 40 },
};
const sit: FamilyPlan = {
  ...dit,
  teacher: "sit-teacher.safetensors",
  recovery: { learningRate: 4e-3, beta: 2e-4 }, // the paper's for SiT
  sampling: { steps: "13", cfg: 2.5 },
  quickSampling: { steps: "5", cfg: 2.5 },
};
const marSampling = { temperature: 0.6, cfg: 3, cfgSchedule: "constant" } as const;
const mar: FamilyPlan = {
  teacher: "mar-teacher.safetensors",
  recoverySteps: 800, // its head denoises every token: a step takes longer
  recovery: { learningRate: 3e-3, beta: 1e-2 },
  sampling: { ...marSampling, steps: "16", headSteps: "ddim10" },
  quickSampling: { ...marSampling, steps: "4", headSteps: "ddim5" },
  seconds: { search: 120, recovery: 210, sampling: 70, rest: 60 },
};

/** Tuned for each teacher (LOG.md, "The search" and "Recovery"). */
export const familyPlans = { dit, sit, mar };

/** How much of everything. */
export interface DemoSize {
  readonly searchSteps: number;
  readonly recoverySteps: number;
  readonly batch: number;
  /** Digits of each model. */
  readonly images: number;
  readonly calibrationExamples: number;
  readonly sampling: Sampling;
}

/** All of it, or, for tests and impatient people, a little of everything: nothing gets good. */
export const sizeOf = ({ recoverySteps, sampling, quickSampling }: FamilyPlan, isQuick: boolean): DemoSize =>
  isQuick
    ? { searchSteps: 12, recoverySteps: 12, batch: 8, images: 40, calibrationExamples: 64, sampling: quickSampling }
    : { searchSteps: 600, recoverySteps, batch: 16, images: 256, calibrationExamples: 256, sampling };

/** Where a packaged teacher is. */
export const packagedPath = (file: string): string =>
  fileURLToPath(new URL(`../../../models/digits/${file}`, import.meta.url));

export const groupsText = "1:2";

/** What both trainings share. */
const trainingSettings = (steps: number, batch: number) => ({
  steps,
  batchSize: batch,
  microBatch: batch,
  lrSchedule: "cosine" as const,
  warmupSteps: Math.min(20, Math.floor(steps / 10)),
  logEvery: Math.max(1, Math.floor(steps / 40)),
  saveEvery: 100,
  keepCheckpoints: 1,
});

/** Of `prune`: the update learns first, and the decision stops changing before 70% of the run (LOG.md). */
export const searchSettings = ({ searchSteps, batch }: DemoSize) => ({
  ...trainingSettings(searchSteps, batch),
  groups: groupsText,
  learningRate: 4e-3,
  finalLr: 4e-4,
  gateLr: 1e-3,
  gateLrSpan: 0.65,
  gateLrWarmup: Math.round(0.2 * searchSteps),
});

/** Of `finetune`: masked distillation. */
export const recoverySettings = ({ recoverySteps, batch }: DemoSize, { recovery }: FamilyPlan) => ({
  ...trainingSettings(recoverySteps, batch),
  ...recovery,
  finalLr: 2e-5,
  emaDecay: 0.98,
});
