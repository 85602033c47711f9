/** `tinyfusion study --dry-run`: the cells of a study, and what they take by a pilot. */
import { type Cell, type Find, withNeeds } from "../studies/cells/cell.ts";
import type { Lab } from "../studies/cells/lab.ts";
import { pilot, type Rates, secondsOf } from "../studies/cells/pilot.ts";
import type { Budget } from "../studies/pipeline/budget.ts";
import { type PackagedSubject, packagedSubject } from "../studies/pipeline/subject.ts";
import type { CommandContext } from "./command.ts";
import { duration } from "./progress.ts";
import { tableLines } from "./table.ts";

export interface StudyPlan {
  readonly lab: Lab;
  /** Of the study, or all. */
  readonly name: string;
  /** Those that are wanted. */
  readonly cells: readonly Cell[];
  readonly budget: Budget;
  readonly find: Find;
  readonly context: CommandContext;
}

/** A packaged subject of the same shape as a cell's. */
const pilotOf = (subject: string): PackagedSubject => (subject === "sit" || subject === "mar" ? subject : "dit");

/** Prints the plan; returns the exit code. */
export async function printPlan({ lab, name, cells, budget, find, context }: StudyPlan): Promise<number> {
  const all = withNeeds(cells);
  const missing = all.filter((cell) => find(cell) === undefined);
  context.print(`${name}: ${all.length} cells, ${all.length - missing.length} of them there; nothing is written`);
  const rates = new Map<PackagedSubject, Rates>();
  for (const subject of new Set(missing.map((cell) => pilotOf(cell.subject)))) {
    context.note(`pilot: a few steps of each stage, ${subject} …`);
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
    context.print(`  ${line}`);
  const total = missing.reduce((sum, cell) => sum + seconds(cell), 0);
  context.print(`together about ${duration(total)}, by pilots of a few steps on ${lab.settings.threads} threads`);
  return 0;
}
