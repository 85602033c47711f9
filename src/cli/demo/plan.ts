/** The demo's fixed settings: what is searched, recovered and sampled, and the time each part may take. */
import type { SamplingSettings } from "../../evaluation/samplers/image-sampler.ts";
import type { LearnSettings } from "../../pruning/learn.ts";
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

/** Peak and final rate of the recovery; its other settings are the same for all families. */
interface RecoveryRate {
  readonly base: number;
  readonly final: number;
}

/** What differs between the families. */
export interface FamilyPlan {
  /** In `models/digits`. */
  readonly teacher: string;
  readonly preset: string;
  readonly full: DemoSize;
  readonly quick: DemoSize;
  readonly recoveryRate: RecoveryRate;
  /** Weight of the feature loss at the start of the recovery. */
  readonly beta: number;
  /** Seconds planned on two cores. */
  readonly timeBudget: Readonly<Record<"search" | "recovery" | "sampling" | "rest", number>>;
}

/** For tests and impatient people: everything runs, nothing is good. */
const quick = {
  ...{ searchSteps: 12, searchBatch: 8, recoverySteps: 12, recoveryBatch: 8 },
  ...{ images: 40, calibrationExamples: 64 },
};

/** Small batches recover better in the same time: more steps count for more than quieter ones (LOG.md). */
const full = {
  ...{ searchSteps: 300, searchBatch: 32, recoverySteps: 1000, recoveryBatch: 16 },
  ...{ images: 256, calibrationExamples: 256 },
};

const cfgScale = 2.5;
const marSampling = { temperature: 0.6, cfgScale: 3, cfgSchedule: "constant" } as const;

export const familyPlans = {
  dit: {
    teacher: "teacher.safetensors",
    preset: "DiT-Digits",
    full: { ...full, sampling: { steps: "ddim25", cfgScale } },
    quick: { ...quick, sampling: { steps: "ddim10", cfgScale } },
    recoveryRate: { base: 4e-3, final: 2e-5 },
    beta: 1e-2,
    timeBudget: { search: 80, recovery: 150, sampling: 65, rest: 40 },
  },
  sit: {
    teacher: "sit-teacher.safetensors",
    preset: "SiT-Digits",
    full: { ...full, sampling: { steps: "13", cfgScale } },
    quick: { ...quick, sampling: { steps: "5", cfgScale } },
    recoveryRate: { base: 4e-3, final: 2e-5 },
    // The paper's β for SiT.
    beta: 2e-4,
    timeBudget: { search: 80, recovery: 150, sampling: 65, rest: 40 },
  },
  mar: {
    teacher: "mar-teacher.safetensors",
    preset: "MAR-Digits",
    // Its head denoises every token: recovery and sampling take longer.
    full: { ...full, recoverySteps: 800, sampling: { steps: "16", headSteps: "ddim10", ...marSampling } },
    quick: { ...quick, sampling: { steps: "4", headSteps: "ddim5", ...marSampling } },
    recoveryRate: { base: 3e-3, final: 2e-5 },
    beta: 1e-2,
    timeBudget: { search: 120, recovery: 210, sampling: 70, rest: 60 },
  },
} as const satisfies Record<string, FamilyPlan>;

export const groupsText = "1:2";

const labelDrop = 0.1;
const constant = (base: number) => ({ base, kind: "constant" as const, final: base, warmupSteps: 0 });

/** Mask learning, short: chosen in LOG.md so that the decision stops changing before 70% of the run. */
export function searchSettings(
  { searchSteps, searchBatch }: DemoSize,
  seed: number,
  { process }: ModelFile,
): LearnSettings {
  return {
    process,
    labelDrop,
    recompute: false,
    steps: searchSteps,
    batchSize: searchBatch,
    microBatch: searchBatch,
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
  { recoverySteps, recoveryBatch }: DemoSize,
  seed: number,
  { process, prunings }: ModelFile,
  { recoveryRate, beta }: FamilyPlan,
): FinetuneSettings {
  const { layerMap } = prunings.at(-1)!;
  return {
    process,
    labelDrop,
    recompute: false,
    steps: recoverySteps,
    batchSize: recoveryBatch,
    microBatch: recoveryBatch,
    seed,
    learningRate: { ...recoveryRate, kind: "cosine", warmupSteps: 20 },
    clipNorm: 1,
    emaDecay: 0.98,
    emaWarmup: true,
    adamw: adamWDefaults,
    distill: { kind: "masked", ...distillDefaults, layerMap },
    beta,
  };
}
