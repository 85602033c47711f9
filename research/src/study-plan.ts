/** `study --dry-run`: the cells of a study, and what they take by a pilot. */
import { type Cell, type Find, withNeeds } from "./cells/cell.ts";
import type { Lab } from "./cells/lab.ts";
import { pilot, type Rates, secondsOf } from "./cells/pilot.ts";
import type { Budget } from "./pipeline/budget.ts";
import { type PackagedSubject, packagedSubject } from "./pipeline/subject.ts";
import { duration, type Terminal, tableLines } from "./terminal.ts";

export interface StudyPlan {
  readonly lab: Lab;
  /** Of the study, or all. */
  readonly name: string;
  /** Those that are wanted. */
  readonly cells: readonly Cell[];
  readonly budget: Budget;
  readonly find: Find;
  readonly terminal: Terminal;
}

/** A packaged subject of the same shape as a cell's. */
const pilotOf = (subject: string): PackagedSubject => (subject === "sit" || subject === "mar" ? subject : "dit");

/** Prints the plan; returns the exit code. */
export async function printPlan({ lab, name, cells, budget, find, terminal }: StudyPlan): Promise<number> {
  const all = withNeeds(cells);
  const missing = all.filter((cell) => find(cell) === undefined);
  terminal.print(`${name}: ${all.length} cells, ${all.length - missing.length} of them there; nothing is written`);
  const rates = new Map<PackagedSubject, Rates>();
  for (const subject of new Set(missing.map((cell) => pilotOf(cell.subject)))) {
    terminal.note(`pilot: a few steps of each stage, ${subject} …`);
    rates.set(subject, await pilot(lab, packagedSubject(subject, budget), budget));
  }
  const seconds = (cell: Cell) => secondsOf(cell, rates.get(pilotOf(cell.subject))!);
  const armOf = (cell: Cell) => `${cell.study} ${cell.arm}`;
  const rows = [...new Set(missing.map(armOf))].map((arm) => {
    const own = missing.filter((cell) => armOf(cell) === arm);
    const seeds = own.map(({ seed }) => seed).join(",");
    return [arm, seeds, duration(seconds(own[0]!)), duration(own.reduce((sum, cell) => sum + seconds(cell), 0))];
  });
  for (const line of tableLines([["arm", "missing seeds", "a cell", "all"], ...rows], [2, 3]))
    terminal.print(`  ${line}`);
  const total = missing.reduce((sum, cell) => sum + seconds(cell), 0);
  terminal.print(`together about ${duration(total)}, by pilots of a few steps on ${lab.settings.threads} threads`);
  return 0;
}
