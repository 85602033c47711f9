/** Masks as trials of their own: searched or chosen once for each method and seed, and used by every study. */

import {
  type Choice,
  type Delta,
  type Group,
  type PrunerContext,
  type PrunerMethod,
  type PrunerSettings,
  parseBudget,
  parseGroups,
  pruners,
} from "tinyfusion";
import { type StudyContext, secondsSince, type Trial, trialFile } from "../trials/trial.ts";
import { type BenchmarkModel, openBenchmark } from "./benchmark.ts";
import type { Budget } from "./budget.ts";
import { type Moment, type SearchPlan, searchMask, withoutWeights } from "./mask-search.ts";

/** The content of a mask's file. */
export interface MaskResult {
  readonly kept: readonly number[];
  /** Of choosing, with all that it computes. */
  readonly seconds: number;
  /** How much each block matters [depth], where the method scores blocks. */
  readonly scores?: readonly number[];
  /** Losses of the candidates. */
  readonly losses?: readonly number[];
  readonly confidence?: readonly number[];
  readonly flips?: readonly number[];
  readonly history?: readonly Moment[];
}

export type MaskTrial = Trial<MaskResult>;

/** Half of the blocks by pairs, as the learned masks: the same constraint for every method. */
export const HALF = "1:2";

/** Where the blocks of a choice may lie: N:M groups, or anywhere (`free`), half of all. */
export type Freedom = "1:2" | "free";

const STUDY = "masks";

/** A mask by a method that does not learn. */
export function chosenMask(
  method: PrunerMethod,
  benchmark: BenchmarkModel,
  seed: number,
  budget: Budget,
  freedom: Freedom = HALF,
): MaskTrial {
  const { calibration, candidates } = budget;
  const settings: PrunerSettings = {
    seed,
    candidates,
    protectLast: false,
    lossThreshold: 0.05,
    influenceInputs: "noised",
  };
  const variant = `${benchmark.name}-${method}${freedom === "free" ? "-free" : ""}`;
  const request: PrunerContext = { model: benchmark.model, groups: groupsOf(benchmark, freedom), settings };
  const pruner = pruners[method];
  return {
    file: trialFile(STUDY, variant, seed),
    study: STUDY,
    variant,
    seed,
    benchmark: benchmark.name,
    settings: { method, groups: freedom, ...settings, calibration, subject: benchmark.settings },
    needs: benchmark.needs,
    work: { passes: pruner.needs === "calibration" ? pruner.passes(request) : 0 },
    async compute(context) {
      const started = performance.now();
      const { kept, scores, losses } = await choose(context, benchmark, method, request, calibration);
      return {
        kept,
        seconds: secondsSince(started),
        ...(scores && { scores }),
        ...(losses && { losses: losses.map(({ loss }) => loss) }),
      };
    },
  };
}

function groupsOf({ model: { family, config } }: BenchmarkModel, freedom: Freedom): Group[] {
  const stacks = family.stacks(config);
  return freedom === "free" ? parseBudget(String(Math.floor(config.depth / 2)), stacks) : parseGroups(freedom, stacks);
}

async function choose(
  context: StudyContext,
  benchmark: BenchmarkModel,
  method: PrunerMethod,
  request: PrunerContext,
  examples: number,
): Promise<Choice> {
  const pruner = pruners[method];
  if (pruner.needs === "nothing") return pruner.choose(request);
  const { teacher, data } = await openBenchmark(context, benchmark);
  const { seed } = request.settings;
  return pruner.choose({
    ...request,
    engine: context.engine,
    weights: teacher.tensors,
    data,
    calibration: { seed, examples, process: teacher.process },
    hooks: { signal: context.signal },
  });
}

/** Slow gates: the weight update keeps pace with them (LOG.md, "The search"). */
export const GATE_RATE = 1e-3;
const UPDATE_RATE = 4e-3;

/** What differs from the default search. */
export interface LearnedMask {
  readonly groups?: string;
  readonly delta?: Delta;
  readonly steps?: number;
  readonly gateRate?: number;
}

/** The default search with what is given changed. */
export const searchPlan = (budget: Budget, given: LearnedMask = {}): SearchPlan => ({
  groups: HALF,
  delta: "lora",
  steps: budget.searchSteps,
  batch: budget.searchBatch,
  rate: UPDATE_RATE,
  gateRate: GATE_RATE,
  ...given,
});

/** A learned mask; those of equal settings are one trial, whatever study asks. */
export function learnedMask(
  benchmark: BenchmarkModel,
  seed: number,
  budget: Budget,
  given: LearnedMask = {},
): MaskTrial {
  const plan = searchPlan(budget, given);
  const usual = searchPlan(budget);
  const words = (["groups", "delta", "steps", "gateRate"] as const)
    .filter((key) => plan[key] !== usual[key])
    .map((key) =>
      `${plan[key]}${{ groups: "", delta: "", steps: "-steps", gateRate: "-rate" }[key]}`.replace(":", "of"),
    );
  const variant = [benchmark.name, "learned", ...words].join("-");
  return {
    file: trialFile(STUDY, variant, seed),
    study: STUDY,
    variant,
    seed,
    benchmark: benchmark.name,
    settings: { method: "learned", ...plan, subject: benchmark.settings, seed },
    needs: benchmark.needs,
    work: { searchSteps: plan.steps },
    async compute(context) {
      const { teacher, data } = await openBenchmark(context, benchmark);
      return withoutWeights(await searchMask(context, teacher, data, plan, seed));
    },
  };
}
