/** A study: variants with their trials, and a report of the trials that are there. */
import type { Section } from "tinyfusion";
import type { Budget } from "../pipeline/budget.ts";
import type { Find, Trial } from "../trials/trial.ts";

/** A variant that is compared, with one trial for each seed. */
export interface Variant<R = unknown> {
  /** Its name in tables and in `--only`. */
  readonly name: string;
  readonly trials: readonly Trial<R>[];
}

/** A figure of a report; its name is that of its files. */
export interface Figure {
  readonly name: string;
  readonly svg: string;
  readonly caption: string;
}

export interface StudyReport {
  readonly figures: readonly Figure[];
  readonly sections: readonly Section[];
  /** All numbers, one row a trial. */
  readonly table: { readonly columns: readonly string[]; readonly rows: readonly (readonly unknown[])[] };
}

export interface Study {
  readonly name: string;
  readonly title: string;
  /** The question and the method. */
  readonly question: string;
  /** All variants; results may decide which there are. */
  variants(find: Find): readonly Variant[];
  /** From the trials that are there. */
  report(find: Find): StudyReport;
}

/** The options of all studies. */
export interface StudyOptions {
  readonly budget: Budget;
  /** Folder of Fashion-MNIST's four IDX files. */
  readonly fashion: string;
}

/** The trials of variants in the order in which partial results are worth most: all variants of a seed, then the next seed. */
export function inOrder(variants: readonly Variant[]): Trial[] {
  const trials = [
    ...new Map(variants.flatMap((variant) => variant.trials).map((trial) => [trial.file, trial])).values(),
  ];
  return trials.sort((a, b) => a.seed - b.seed); // stable: variants stay in their order
}

/** The results that are there, in the order of the trials. */
export const resultsOf = <R>({ trials }: Variant<R>, find: Find): R[] =>
  trials.flatMap((trial) => {
    const result = find(trial);
    return result === undefined ? [] : [result];
  });

/** How many trials of a study are there. */
export function countDone(study: Study, find: Find): { readonly done: number; readonly of: number } {
  const trials = inOrder(study.variants(find));
  return { done: trials.filter((trial) => find(trial) !== undefined).length, of: trials.length };
}
