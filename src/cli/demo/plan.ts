/** The demo's fixed settings: what is searched, recovered and sampled, and the time each part may take. */

import type { LearnSettings } from "../../pruning/learn.ts";
import type { SamplingSettings } from "../../sampling/image-sampler.ts";
import { budgets } from "../../studies/pipeline/budget.ts";
import { searchSettings as searchSettingsOf } from "../../studies/pipeline/mask-search.ts";
import { HALF, searchPlan } from "../../studies/pipeline/masks.ts";
import { distillSettings } from "../../studies/pipeline/recover.ts";
import { type PackagedSubject, type PackagedTeacher, packagedTeachers } from "../../studies/pipeline/subject.ts";
import { distillDefaults } from "../../training/distill.ts";
import type { FinetuneSettings } from "../../training/finetune.ts";
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
export interface FamilyPlan extends Pick<PackagedTeacher, "preset" | "recoveryRate" | "beta"> {
  /** In `models/digits`. */
  readonly teacher: string;
  readonly full: DemoSize;
  readonly quick: DemoSize;
  /** Seconds planned on two cores. */
  readonly timeBudget: Readonly<Record<"search" | "recovery" | "sampling" | "rest", number>>;
}

/** For tests and impatient people: everything runs, nothing is good. */
const quick = {
  ...{ searchSteps: 12, searchBatch: 8, recoverySteps: 12, recoveryBatch: 8 },
  ...{ images: 40, calibrationExamples: 64 },
};

/** The settings of the studies, but for the number of images and what is quick. */
function planOf(
  family: PackagedSubject,
  quickly: Partial<SamplingSettings>,
  timeBudget: FamilyPlan["timeBudget"],
): FamilyPlan {
  const { file: teacher, preset, sampling, recoveryRate, beta, recoveryShare } = packagedTeachers[family];
  const { searchSteps, searchBatch, recoverySteps, recoveryBatch, calibration: calibrationExamples } = budgets.full;
  return {
    ...{ teacher, preset, recoveryRate, beta, timeBudget },
    full: {
      ...{ searchSteps, searchBatch, recoverySteps: Math.ceil(recoveryShare * recoverySteps), recoveryBatch },
      ...{ images: 256, calibrationExamples, sampling: sampling.full },
    },
    quick: { ...quick, sampling: { ...sampling.full, ...quickly } },
  };
}

export const familyPlans: Readonly<Record<PackagedSubject, FamilyPlan>> = {
  dit: planOf("dit", { steps: "ddim10" }, { search: 80, recovery: 150, sampling: 65, rest: 40 }),
  sit: planOf("sit", { steps: "5" }, { search: 80, recovery: 150, sampling: 65, rest: 40 }),
  mar: planOf("mar", { steps: "4", headSteps: "ddim5" }, { search: 120, recovery: 210, sampling: 70, rest: 60 }),
};

export const groupsText = HALF;

/** Mask learning, short: chosen in LOG.md so that the decision stops changing before 70% of the run. */
export function searchSettings(
  { searchSteps: steps, searchBatch: batch }: DemoSize,
  seed: number,
  { process }: Pick<ModelFile, "process">,
): LearnSettings {
  return searchSettingsOf({ ...searchPlan(budgets.full), steps, batch }, seed, process);
}

/** Recovery by masked distillation. */
export function recoverySettings(
  { recoverySteps: steps, recoveryBatch: batch }: DemoSize,
  seed: number,
  student: Pick<ModelFile, "process" | "prunings">,
  { recoveryRate: rate, beta }: FamilyPlan,
): FinetuneSettings {
  const { maskSigma, weight: share } = distillDefaults;
  return distillSettings({ distill: "masked", maskSigma, share, steps, batch, rate, beta, seed }, student);
}
