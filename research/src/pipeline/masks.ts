/** Masks as cells of their own: searched or chosen once for each method and seed, and used by every study. */

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
import { type Cell, cellFile, type Lab, secondsSince } from "../trials/trial.ts";
import type { SubjectSpec } from "./benchmark.ts";
import type { Budget } from "./budget.ts";
import { factsOf, type Moment, type SearchPlan, searchMask } from "./mask-search.ts";

/** The content of a mask's file. */
export interface MaskResult {
  readonly kept: readonly number[];
  /** Of choosing, with all that it computes. */
  readonly seconds: number;
  /** How much each block matters [depth], where the method scores blocks. */
  readonly scores?: readonly number[];
  /** Losses that were looked at. */
  readonly losses?: readonly number[];
  readonly confidence?: readonly number[];
  readonly flips?: readonly number[];
  readonly history?: readonly Moment[];
}

export type MaskCell = Cell<MaskResult>;

/** Half of the blocks by pairs, as the learned masks: the same constraint for every method. */
export const HALF = "1:2";

/** Where the blocks of a choice may lie: N:M groups, or anywhere (`free`), half of all. */
export type Freedom = "1:2" | "free";

const STUDY = "masks";

/** A mask by a method that does not learn. */
export function chosenMask(
  method: PrunerMethod,
  subject: SubjectSpec,
  seed: number,
  budget: Budget,
  freedom: Freedom = HALF,
): MaskCell {
  const { calibration, candidates } = budget;
  const told: PrunerSettings = {
    seed,
    candidates,
    protectLast: false,
    lossThreshold: 0.05,
    influenceInputs: "noised",
  };
  const arm = `${subject.name}-${method}${freedom === "free" ? "-free" : ""}`;
  const context: PrunerContext = { model: subject.model, groups: groupsOf(subject, freedom), settings: told };
  const pruner = pruners[method];
  return {
    file: cellFile(STUDY, arm, seed),
    study: STUDY,
    arm,
    seed,
    subject: subject.name,
    settings: { method, groups: freedom, ...told, calibration, subject: subject.settings },
    needs: subject.needs,
    work: { passes: pruner.needs === "calibration" ? pruner.passes(context) : 0 },
    async compute(lab) {
      const started = performance.now();
      const { kept, scores, losses } = await choose(lab, subject, method, context, calibration);
      return {
        kept,
        seconds: secondsSince(started),
        ...(scores && { scores }),
        ...(losses && { losses: losses.map(({ loss }) => loss) }),
      };
    },
  };
}

function groupsOf({ model: { family, config } }: SubjectSpec, freedom: Freedom): Group[] {
  const stacks = family.stacks(config);
  return freedom === "free" ? parseBudget(String(Math.floor(config.depth / 2)), stacks) : parseGroups(freedom, stacks);
}

async function choose(
  lab: Lab,
  subject: SubjectSpec,
  method: PrunerMethod,
  context: PrunerContext,
  examples: number,
): Promise<Choice> {
  const pruner = pruners[method];
  if (pruner.needs === "nothing") return pruner.choose(context);
  const { teacher, data } = await lab.subject(subject);
  const { seed } = context.settings;
  return pruner.choose({
    ...context,
    engine: lab.engine,
    weights: teacher.tensors,
    data,
    calibration: { seed, examples, process: teacher.process },
    hooks: { signal: lab.signal },
  });
}

/** Slow gates: the weight update keeps pace with them (LOG.md, "The search"). */
export const GATE_RATE = 1e-3;
const UPDATE_RATE = 4e-3;

/** What a learned mask is told; the rest is the usual. */
export interface LearnedMask {
  readonly groups?: string;
  readonly delta?: Delta;
  readonly steps?: number;
  readonly gateRate?: number;
}

/** The plan of a search. */
export const searchPlan = (budget: Budget, given: LearnedMask = {}): SearchPlan => ({
  groups: HALF,
  delta: "lora",
  steps: budget.searchSteps,
  batch: budget.searchBatch,
  rate: UPDATE_RATE,
  gateRate: GATE_RATE,
  ...given,
});

/** A learned mask; those of equal settings are one cell, whatever study asks. */
export function learnedMask(subject: SubjectSpec, seed: number, budget: Budget, given: LearnedMask = {}): MaskCell {
  const plan = searchPlan(budget, given);
  const usual = searchPlan(budget);
  const words = (["groups", "delta", "steps", "gateRate"] as const)
    .filter((key) => plan[key] !== usual[key])
    .map((key) =>
      `${plan[key]}${{ groups: "", delta: "", steps: "-steps", gateRate: "-rate" }[key]}`.replace(":", "of"),
    );
  const arm = [subject.name, "learned", ...words].join("-");
  return {
    file: cellFile(STUDY, arm, seed),
    study: STUDY,
    arm,
    seed,
    subject: subject.name,
    settings: { method: "learned", ...plan, subject: subject.settings, seed },
    needs: subject.needs,
    work: { searchSteps: plan.steps },
    async compute(lab) {
      const { teacher, data } = await lab.subject(subject);
      return factsOf(await searchMask(lab, teacher, data, plan, seed));
    },
  };
}
