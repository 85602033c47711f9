/** What is pruned: a teacher with its data, how students of its family are recovered, and how images are scored. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  type DigitReference,
  type LoadedModel,
  loadDigits,
  loadModel,
  type SamplingSettings,
  type TrainingSet,
  trainingSet,
} from "tinyfusion";
import { type Model, preset } from "tinyfusion/models";
import type { Settings, StudyContext, Trial } from "../trials/trial.ts";
import type { Budget } from "./budget.ts";

/** A benchmark model with its weights and data. */
export interface OpenedBenchmark {
  readonly teacher: LoadedModel;
  readonly data: TrainingSet;
  readonly heldOut: TrainingSet;
  /** What generated images are compared with; the packaged digits by default. */
  readonly reference?: DigitReference;
}

/** A teacher, its data, and how its students are recovered and sampled. */
export interface BenchmarkModel {
  readonly name: string;
  readonly model: Model;
  /** Identifies the teacher and its data. */
  readonly settings: Settings;
  readonly needs: readonly Trial[];
  readonly sampling: SamplingSettings;
  readonly recoverySteps: number;
  /** Peak and final learning rate of a recovery. */
  readonly recoveryRate: { readonly base: number; readonly final: number };
  /** Weight of the feature loss at the start of a recovery. */
  readonly beta: number;
  open(context: StudyContext): Promise<OpenedBenchmark>;
}

/** Opened at the first call. @throws InputError as its teacher's reader. */
export const openBenchmark = (context: StudyContext, benchmark: BenchmarkModel): Promise<OpenedBenchmark> =>
  context.once(benchmark.name, () => benchmark.open(context));

/** Teachers in this package, by family. */
export type PackagedFamily = "dit" | "sit" | "mar";

/** A teacher in this package, and the settings that were tuned for it. */
interface PackagedTeacher {
  /** In `models/digits`. */
  readonly file: string;
  readonly preset: string;
  readonly sampling: Readonly<Record<Budget["name"], SamplingSettings>>;
  /** At it the teacher's distance from real images is lowest (LOG.md, "Studies: the plan"); studies sample with it. */
  readonly bestCfgScale: number;
  readonly recoveryRate: BenchmarkModel["recoveryRate"];
  readonly beta: number;
  /** Of the recovery steps of the others. */
  readonly recoveryShare: number;
}

const cfgScale = 2.5;
const marSampling = { temperature: 0.6, cfgScale: 3, cfgSchedule: "constant" } as const;

/** The settings of committed results (LOG.md, "Recovery"). */
const packagedTeachers: Readonly<Record<PackagedFamily, PackagedTeacher>> = {
  dit: {
    file: "teacher.safetensors",
    preset: "DiT-Digits",
    sampling: { full: { steps: "ddim25", cfgScale }, tiny: { steps: "ddim2", cfgScale } },
    bestCfgScale: 1.5,
    recoveryRate: { base: 4e-3, final: 2e-5 },
    beta: 1e-2,
    recoveryShare: 1,
  },
  sit: {
    file: "sit-teacher.safetensors",
    preset: "SiT-Digits",
    sampling: { full: { steps: "13", cfgScale }, tiny: { steps: "3", cfgScale } },
    bestCfgScale: 1.5,
    // The paper's β for SiT.
    recoveryRate: { base: 4e-3, final: 2e-5 },
    beta: 2e-4,
    recoveryShare: 1,
  },
  mar: {
    file: "mar-teacher.safetensors",
    preset: "MAR-Digits",
    sampling: {
      full: { steps: "16", headSteps: "ddim10", ...marSampling },
      tiny: { steps: "2", headSteps: "ddim2", ...marSampling },
    },
    bestCfgScale: 2,
    // Its head denoises every token: a step takes longer.
    recoveryRate: { base: 3e-3, final: 2e-5 },
    beta: 1e-2,
    recoveryShare: 0.8,
  },
};

const CLASSES = 10;

/** The path of a packaged teacher. */
const packagedPath = (file: string): string =>
  fileURLToPath(new URL(`../../../models/digits/${file}`, import.meta.url));

/** A packaged teacher and the packaged digits. */
export function packagedBenchmark(family: PackagedFamily, budget: Budget): BenchmarkModel {
  const { file, preset: name, recoveryRate, beta, recoveryShare } = packagedTeachers[family];
  const path = packagedPath(file);
  const model = preset(name);
  return {
    name: family,
    model,
    settings: { teacher: `models/digits/${file}`, teacherSha256: fileSha256(path), data: "digits" },
    needs: [],
    sampling: studySampling(family, budget),
    recoverySteps: Math.ceil(recoveryShare * budget.recoverySteps),
    recoveryRate,
    beta,
    async open() {
      const { train, heldOut } = loadDigits();
      return {
        teacher: await loadModel(path, model),
        data: trainingSet(train, CLASSES),
        heldOut: trainingSet(heldOut, CLASSES),
      };
    },
  };
}

/** How studies sample a packaged teacher, and others of its shape on other data. */
export function studySampling(family: PackagedFamily, budget: Budget): SamplingSettings {
  const { sampling, bestCfgScale: cfgScale } = packagedTeachers[family];
  return { ...sampling[budget.name], cfgScale };
}

const hashes = new Map<string, string>();

/** Of a whole file, read once. */
function fileSha256(path: string): string {
  const known = hashes.get(path) ?? createHash("sha256").update(readFileSync(path)).digest("hex");
  hashes.set(path, known);
  return known;
}
