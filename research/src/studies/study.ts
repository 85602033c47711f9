/** What a study is: arms with their cells, and a report made of what is there. */
import type { Section } from "tinyfusion";
import type { Budget } from "../pipeline/budget.ts";
import type { Cell, Find } from "../trials/trial.ts";

/** One thing that is compared, with a cell for each seed. */
export interface Arm<R = unknown> {
  /** As tables and `--only` call it. */
  readonly name: string;
  readonly cells: readonly Cell<R>[];
}

/** A drawing of a report; its name is that of its files. */
export interface Drawing {
  readonly name: string;
  readonly svg: string;
  readonly caption: string;
}

export interface StudyReport {
  readonly drawings: readonly Drawing[];
  readonly sections: readonly Section[];
  /** All numbers, one row a cell. */
  readonly table: { readonly columns: readonly string[]; readonly rows: readonly (readonly unknown[])[] };
}

export interface Study {
  readonly name: string;
  readonly title: string;
  /** What it asks, and how. */
  readonly question: string;
  /** All arms; results may decide which there are. */
  arms(find: Find): readonly Arm[];
  /** From the cells that are there. */
  report(find: Find): StudyReport;
}

/** What definitions of studies are made from. */
export interface StudyOptions {
  readonly budget: Budget;
  /** Folder of Fashion-MNIST's four IDX files. */
  readonly fashion: string;
}

/** The cells of arms in the order in which partial results are worth most: all arms of a seed, then the next seed. */
export function inOrder(arms: readonly Arm[]): Cell[] {
  const cells = [...new Map(arms.flatMap((arm) => arm.cells).map((cell) => [cell.file, cell])).values()];
  return cells.sort((a, b) => a.seed - b.seed); // stable: arms stay in their order
}

/** The results that are there, in the order of the cells. */
export const resultsOf = <R>({ cells }: Arm<R>, find: Find): R[] =>
  cells.flatMap((cell) => {
    const result = find(cell);
    return result === undefined ? [] : [result];
  });

/** How many cells of a study are there. */
export function countDone(study: Study, find: Find): { readonly done: number; readonly of: number } {
  const cells = inOrder(study.arms(find));
  return { done: cells.filter((cell) => find(cell) !== undefined).length, of: cells.length };
}
