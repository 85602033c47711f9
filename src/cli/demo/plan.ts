/** The demo's fixed settings: what is searched, recovered and sampled, and the time each part may take. */

import { fileURLToPath } from "node:url";
import type { LearnSettings } from "../../pruning/learn.ts";
import type { SamplingSettings } from "../../sampling/sampling-settings.ts";
import { adamWDefaults } from "../../training/adamw.ts";
import { distillDefaults } from "../../training/distill.ts";
import type { FinetuneSettings } from "../../training/finetune.ts";
import { loraDefaults } from "../../training/lora.ts";
import type { ModelFile } from "../../weights/model-file.ts";

/** How much of everything. */
export interface DemoSize {
  readonly searchSteps: number;
  readonly searchBatch: number;
  readonly recoverySteps: number;
  readonly recoveryBatch: number;
  readonly images: number;
  readonly sampling: SamplingSettings;
  readonly calibrationExamples: number;
}

/** What differs between the families. */
export interface FamilyPlan {
  /** In `models/digits`. */
  readonly teacher: string;
  readonly preset: string;
  /** Peak and final learning rate of the recovery. */
  readonly recoveryRate: { readonly base: number; readonly final: number };
  /** Weight of the feature loss at the start of the recovery. */
  readonly beta: number;
  readonly full: DemoSize;
  readonly quick: DemoSize;
  /** Seconds planned on two cores. */
  readonly timeBudget: Readonly<Record<"search" | "recovery" | "sampling" | "rest", number>>;
}

export const demoFamilies = ["dit", "sit", "mar"] as const;
export type DemoFamily = (typeof demoFamilies)[number];

const full = { searchSteps: 600, searchBatch: 16, recoveryBatch: 16, images: 256, calibrationExamples: 256 };

/** For tests and impatient people: everything runs, nothing is good. */
const quick = {
  searchSteps: 12,
  searchBatch: 8,
  recoverySteps: 12,
  recoveryBatch: 8,
  images: 40,
  calibrationExamples: 64,
};

const ditSampling = { steps: "ddim25", cfgScale: 2.5 };
const sitSampling = { steps: "13", cfgScale: 2.5 };
const marSampling: SamplingSettings = {
  steps: "16",
  headSteps: "ddim10",
  temperature: 0.6,
  cfgScale: 3,
  cfgSchedule: "constant",
};

/** Tuned for each teacher (LOG.md, "The search" and "Recovery"). */
export const familyPlans: Readonly<Record<DemoFamily, FamilyPlan>> = {
  dit: {
    teacher: "teacher.safetensors",
    preset: "DiT-Digits",
    recoveryRate: { base: 4e-3, final: 2e-5 },
    beta: 1e-2,
    full: { ...full, recoverySteps: 1000, sampling: ditSampling },
    quick: { ...quick, sampling: { ...ditSampling, steps: "ddim10" } },
    timeBudget: { search: 80, recovery: 150, sampling: 65, rest: 40 },
  },
  sit: {
    teacher: "sit-teacher.safetensors",
    preset: "SiT-Digits",
    recoveryRate: { base: 4e-3, final: 2e-5 },
    beta: 2e-4, // the paper's for SiT
    full: { ...full, recoverySteps: 1000, sampling: sitSampling },
    quick: { ...quick, sampling: { ...sitSampling, steps: "5" } },
    timeBudget: { search: 80, recovery: 150, sampling: 65, rest: 40 },
  },
  mar: {
    teacher: "mar-teacher.safetensors",
    preset: "MAR-Digits",
    recoveryRate: { base: 3e-3, final: 2e-5 },
    beta: 1e-2,
    // Its head denoises every token: a step takes longer.
    full: { ...full, recoverySteps: 800, sampling: marSampling },
    quick: { ...quick, sampling: { ...marSampling, steps: "4", headSteps: "ddim5" } },
    timeBudget: { search: 120, recovery: 210, sampling: 70, rest: 60 },
  },
};

/** Where a packaged teacher is. */
export const packagedPath = (file: string): string =>
  fileURLToPath(new URL(`../../../models/digits/${file}`, import.meta.url));

export const groupsText = "1:2";

const warmupOf = (steps: number): number => Math.min(20, Math.floor(steps / 10));

/** Mask learning, short: the update learns first, and the decision stops changing before 70% of the run (LOG.md). */
export function searchSettings(
  { searchSteps: steps, searchBatch: batch }: DemoSize,
  seed: number,
  { process }: Pick<ModelFile, "process">,
): LearnSettings {
  return {
    process,
    labelDrop: 0.1,
    recompute: false,
    steps,
    batchSize: batch,
    microBatch: batch,
    seed,
    delta: "lora",
    lora: loraDefaults,
    execution: "routed",
    counterfactual: 1,
    learningRate: { base: 4e-3, kind: "cosine", final: 4e-3 / 10, warmupSteps: warmupOf(steps) },
    gateLearningRate: { base: 1e-3, kind: "cosine", final: 0, span: 0.65, warmupSteps: Math.round(0.2 * steps) },
    clipNorm: 1,
    emaDecay: 0.999,
    emaWarmup: true,
    tau: [4, 0.1],
    scale: [100, 100],
    gateInit: 0.02,
    adamw: adamWDefaults,
  };
}

/** Recovery by masked distillation. */
export function recoverySettings(
  { recoverySteps: steps, recoveryBatch: batch }: DemoSize,
  seed: number,
  student: Pick<ModelFile, "process" | "prunings">,
  { recoveryRate, beta }: FamilyPlan,
): FinetuneSettings {
  const { layerMap } = student.prunings.at(-1)!;
  return {
    process: student.process,
    labelDrop: 0.1,
    recompute: false,
    steps,
    batchSize: batch,
    microBatch: batch,
    seed,
    learningRate: { ...recoveryRate, kind: "cosine", warmupSteps: warmupOf(steps) },
    clipNorm: 1,
    emaDecay: 0.98,
    emaWarmup: true,
    adamw: adamWDefaults,
    distill: { ...distillDefaults, kind: "masked", layerMap },
    beta,
  };
}
