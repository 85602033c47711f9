/** What cells will take: a few steps of each stage are timed, and scaled to the work of the cells. */

import { type PackagedSubject, packagedSubject, type SubjectSpec } from "./pipeline/benchmark.ts";
import type { Budget } from "./pipeline/budget.ts";
import { fixedLoss, judge } from "./pipeline/judge.ts";
import { searchMask } from "./pipeline/mask-search.ts";
import { searchPlan } from "./pipeline/masks.ts";
import { recover, recoveryPlan } from "./pipeline/recover.ts";
import { everyOther, shallow } from "./pipeline/students.ts";
import { duration, type Terminal, tableLines } from "./terminal.ts";
import { type Cell, type Find, type Lab, secondsSince, type Work, withNeeds } from "./trials/trial.ts";

/** Seconds of one unit of each kind of work, and of what a cell takes besides. */
export interface Rates {
  readonly searchStep: number;
  readonly pass: number;
  readonly recoveryStep: number;
  /** Of drawing one image and looking at it. */
  readonly image: number;
  /** Building sessions, and the part of scoring that does not grow. */
  readonly perRecoveredCell: number;
}

/** Steps of a short and of a long trial: their difference is free of what building takes. */
const [SHORT, LONG] = [2, 8];
/** Images of a trial; fewer cannot be scored. */
const IMAGES = 64;

/** Times each stage with a student of half the depth; depths and kinds of distillation are taken to cost the same. */
export async function pilot(lab: Lab, spec: SubjectSpec, budget: Budget): Promise<Rates> {
  const subject = await lab.subject(spec);
  const { teacher, data } = subject;
  const search = async (steps: number) => {
    const plan = { ...searchPlan(budget), steps };
    return (await searchMask(lab, teacher, data, plan, 0)).seconds;
  };
  const student = shallow(teacher, everyOther(teacher.model.config.depth));
  const recovery = async (steps: number) => {
    const plan = { ...recoveryPlan(spec, budget, { steps }), seed: 0 };
    return (await recover(lab, student, teacher, data, plan)).seconds;
  };
  const searchStep = (await slope(search)).each;
  const recovering = await slope(recovery);
  const started = performance.now();
  await fixedLoss(lab, student, data, budget.calibration, 0);
  const pass = secondsSince(started);
  const judged = await judge(lab, { spec, subject, model: student, images: IMAGES, seed: 0 });
  const image = judged.secondsPerImage;
  const perRecoveredCell = recovering.once + 2 * pass + judged.scoreSeconds + judged.sampleSeconds - IMAGES * image;
  return { searchStep, pass, recoveryStep: recovering.each, image, perRecoveredCell };
}

/** Seconds of a step, and of what comes once. */
async function slope(run: (steps: number) => Promise<number>): Promise<{ each: number; once: number }> {
  const [short, long] = [await run(SHORT), await run(LONG)];
  const each = Math.max(0, long - short) / (LONG - SHORT);
  return { each, once: Math.max(0, short - SHORT * each) };
}

/** The seconds of a cell at these rates. */
export function secondsOf({ work }: Cell, rates: Rates): number {
  const { searchSteps = 0, passes = 0, recoverySteps = 0, images = 0 }: Work = work;
  const steps = searchSteps * rates.searchStep + passes * rates.pass + recoverySteps * rates.recoveryStep;
  return steps + images * rates.image + (images > 0 ? rates.perRecoveredCell : 0);
}

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
