/** The demo's fixed settings: what is searched, recovered and sampled, and the time each part may take. */
import type { LearnSettings } from "../../pruning/learn.ts";
import { adamWDefaults } from "../../training/adamw.ts";
import { distillDefaults } from "../../training/distill.ts";
import type { FinetuneSettings } from "../../training/finetune.ts";
import { loraDefaults } from "../../training/lora.ts";
import type { ModelFile } from "../../training/model-file.ts";

/** How much of everything. */
export interface DemoSize {
  readonly searchSteps: number;
  readonly recoverySteps: number;
  readonly batchSize: number;
  readonly images: number;
  readonly samplerSteps: string;
  readonly calibrationExamples: number;
}

export const fullSize: DemoSize = {
  searchSteps: 300,
  recoverySteps: 400,
  batchSize: 32,
  images: 256,
  samplerSteps: "ddim25",
  calibrationExamples: 256,
};

/** For tests and impatient people: everything runs, nothing is good. */
export const quickSize: DemoSize = {
  searchSteps: 12,
  recoverySteps: 12,
  batchSize: 8,
  images: 40,
  samplerSteps: "ddim10",
  calibrationExamples: 64,
};

/** Seconds planned on two cores. */
export const timeBudget = { search: 80, recovery: 80, sampling: 65, rest: 40 } as const;

export const groupsText = "1:2";
export const cfgScale = 2.5;

const labelDrop = 0.1;
const constant = (base: number) => ({ base, kind: "constant" as const, final: base, warmupSteps: 0 });

/** Mask learning, short: chosen in LOG.md so that the decision stops changing before 70% of the run. */
export function searchSettings(
  { searchSteps, batchSize }: DemoSize,
  seed: number,
  { process }: ModelFile,
): LearnSettings {
  return {
    process,
    labelDrop,
    steps: searchSteps,
    batchSize,
    microBatch: batchSize,
    seed,
    delta: "lora",
    lora: loraDefaults,
    execution: "routed",
    counterfactual: 1,
    learningRate: constant(1e-3),
    gateLearningRate: { base: 3e-2, kind: "cosine", final: 0, warmupSteps: 0, span: 0.6 },
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
  { recoverySteps, batchSize }: DemoSize,
  seed: number,
  { process, prunings }: ModelFile,
): FinetuneSettings {
  const { layerMap } = prunings.at(-1)!;
  return {
    process,
    labelDrop,
    steps: recoverySteps,
    batchSize,
    microBatch: batchSize,
    seed,
    learningRate: { base: 3e-3, kind: "cosine", final: 1e-4, warmupSteps: 20 },
    clipNorm: 1,
    emaDecay: 0.98,
    emaWarmup: true,
    adamw: adamWDefaults,
    distill: { kind: "masked", ...distillDefaults, layerMap },
    beta: 1e-2,
  };
}
