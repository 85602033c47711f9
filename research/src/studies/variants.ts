/** Variants whose students are recovered and scored, with a trial for each seed. */

import type { PrunerMethod } from "tinyfusion";
import type { BenchmarkModel } from "../pipeline/benchmark.ts";
import { type Budget, seedsUpTo } from "../pipeline/budget.ts";
import { chosenMask, type Freedom, HALF, learnedMask } from "../pipeline/masks.ts";
import { type RecoveryPlan, recoveryPlan } from "../pipeline/recover.ts";
import { type RecoveredResult, recoveredTrial } from "../pipeline/recovered-trial.ts";
import { byMask, type StudentMaker, unpruned } from "../pipeline/students.ts";
import type { Variant } from "./study.ts";

/** Makes variants of one study on one benchmark. */
export class VariantMaker {
  readonly #study: string;
  readonly #benchmark: BenchmarkModel;
  readonly #budget: Budget;

  constructor(study: string, benchmark: BenchmarkModel, budget: Budget) {
    this.#study = study;
    this.#benchmark = benchmark;
    this.#budget = budget;
  }

  /** Any student, with masked distillation unless something is changed, or with no recovery. */
  variant(
    name: string,
    seeds: readonly number[],
    student: (seed: number) => StudentMaker,
    changed: Partial<RecoveryPlan> | "none" = {},
  ): Variant<RecoveredResult> {
    const [study, benchmark, budget] = [this.#study, this.#benchmark, this.#budget];
    const recovery = changed === "none" ? undefined : recoveryPlan(benchmark, budget, changed);
    const words = { study, variant: fileName(name), benchmark, budget, ...(recovery && { recovery }) };
    return { name, trials: seeds.map((seed) => recoveredTrial({ ...words, seed, student: student(seed) })) };
  }

  /** The learned mask of each seed. */
  learned(name: string, seeds: readonly number[]): Variant<RecoveredResult> {
    return this.variant(name, seeds, (seed) => byMask(learnedMask(this.#benchmark, seed, this.#budget)));
  }

  /** The mask of another method for each seed. */
  chosen(
    name: string,
    method: PrunerMethod,
    seeds: readonly number[],
    freedom: Freedom = HALF,
  ): Variant<RecoveredResult> {
    return this.variant(name, seeds, (seed) =>
      byMask(chosenMask(method, this.#benchmark, seed, this.#budget, freedom)),
    );
  }
}

/** A variant's name as part of a file's. */
const fileName = (name: string): string => name.replaceAll(/[^a-z0-9.]+/gi, "-").replaceAll(/^-|-$/g, "");

/** Three variants, and the teacher's own scores with one seed; `prefix` stands before their names. */
export function threeVariants(
  study: string,
  prefix: string,
  benchmark: BenchmarkModel,
  budget: Budget,
): Variant<RecoveredResult>[] {
  const make = new VariantMaker(study, benchmark, budget);
  const seeds = seedsUpTo(budget.otherSeeds);
  return [
    make.learned(`${prefix}learned`, seeds),
    make.chosen(`${prefix}oracle`, "oracle", seeds),
    make.chosen(`${prefix}random-median`, "random-median", seeds),
    make.variant(`${prefix}teacher`, seeds.slice(0, 1), () => unpruned, "none"),
  ];
}
