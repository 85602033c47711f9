/** Arms whose students are recovered and judged: from a way to make a student to a cell for each seed. */

import type { PrunerMethod } from "tinyfusion";
import type { SubjectSpec } from "../pipeline/benchmark.ts";
import { type Budget, seedsUpTo } from "../pipeline/budget.ts";
import { chosenMask, type Freedom, HALF, learnedMask } from "../pipeline/masks.ts";
import { type RecoveryPlan, recoveryPlan } from "../pipeline/recover.ts";
import { type RecoveredResult, recoveredCell } from "../pipeline/recovered-trial.ts";
import { byMask, type StudentSpec, unpruned } from "../pipeline/students.ts";
import type { Arm } from "./study.ts";

/** Makes arms of one study on one subject. */
export class ArmMaker {
  readonly #study: string;
  readonly #spec: SubjectSpec;
  readonly #budget: Budget;

  constructor(study: string, spec: SubjectSpec, budget: Budget) {
    this.#study = study;
    this.#spec = spec;
    this.#budget = budget;
  }

  /** Any student, with masked distillation unless something is changed, or with no recovery. */
  arm(
    name: string,
    seeds: readonly number[],
    student: (seed: number) => StudentSpec,
    changed: Partial<RecoveryPlan> | "none" = {},
  ): Arm<RecoveredResult> {
    const [study, spec, budget] = [this.#study, this.#spec, this.#budget];
    const recovery = changed === "none" ? undefined : recoveryPlan(spec, budget, changed);
    const words = { study, arm: fileName(name), spec, budget, ...(recovery && { recovery }) };
    return { name, cells: seeds.map((seed) => recoveredCell({ ...words, seed, student: student(seed) })) };
  }

  /** The learned mask of each seed. */
  learned(name: string, seeds: readonly number[]): Arm<RecoveredResult> {
    return this.arm(name, seeds, (seed) => byMask(learnedMask(this.#spec, seed, this.#budget)));
  }

  /** The mask of another method for each seed. */
  chosen(name: string, method: PrunerMethod, seeds: readonly number[], freedom: Freedom = HALF): Arm<RecoveredResult> {
    return this.arm(name, seeds, (seed) => byMask(chosenMask(method, this.#spec, seed, this.#budget, freedom)));
  }
}

/** An arm's name as part of a file's. */
const fileName = (name: string): string => name.replaceAll(/[^a-z0-9.]+/gi, "-").replaceAll(/^-|-$/g, "");

/** Three arms, and the teacher's own scores with one seed; `prefix` stands before their names. */
export function threeArms(study: string, prefix: string, spec: SubjectSpec, budget: Budget): Arm<RecoveredResult>[] {
  const make = new ArmMaker(study, spec, budget);
  const seeds = seedsUpTo(budget.otherSeeds);
  return [
    make.learned(`${prefix}learned`, seeds),
    make.chosen(`${prefix}oracle`, "oracle", seeds),
    make.chosen(`${prefix}random-median`, "random-median", seeds),
    make.arm(`${prefix}teacher`, seeds.slice(0, 1), () => unpruned, "none"),
  ];
}
