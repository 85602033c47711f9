/** Estimates how long trials take: a few steps of each stage are timed, and scaled to the work of the trials. */

import { type BenchmarkModel, openBenchmark, type PackagedFamily, packagedBenchmark } from "./pipeline/benchmark.ts";
import type { Budget } from "./pipeline/budget.ts";
import { searchMask } from "./pipeline/mask-search.ts";
import { searchPlan } from "./pipeline/masks.ts";
import { recover, recoveryPlan } from "./pipeline/recover.ts";
import { fixedLoss, scoreModel } from "./pipeline/score-model.ts";
import { everyOther, shallow } from "./pipeline/students.ts";
import { duration, type Terminal, tableLines } from "./terminal.ts";
import { type Find, type StudyContext, secondsSince, type Trial, type Work, withNeeds } from "./trials/trial.ts";

/** Seconds of one unit of each kind of work, and the constant part of a trial. */
export interface Rates {
  readonly searchStep: number;
  readonly pass: number;
  readonly recoveryStep: number;
  /** Of sampling one image and scoring it. */
  readonly image: number;
  /** Building sessions, and the part of scoring that does not grow. */
  readonly perRecoveredTrial: number;
}

/** Steps of a short and of a long run: their difference leaves out the time of building. */
const [SHORT, LONG] = [2, 8];
/** Images that are sampled; fewer cannot be scored. */
const IMAGES = 64;

/** Times each stage with a student of half the depth; all depths and kinds of distillation are assumed to cost the same. */
export async function estimateRates(context: StudyContext, benchmark: BenchmarkModel, budget: Budget): Promise<Rates> {
  const opened = await openBenchmark(context, benchmark);
  const { teacher, data } = opened;
  const search = async (steps: number) => {
    const plan = { ...searchPlan(budget), steps };
    return (await searchMask(context, teacher, data, plan, 0)).seconds;
  };
  const student = shallow(teacher, everyOther(teacher.model.config.depth));
  const recovery = async (steps: number) => {
    const plan = { ...recoveryPlan(benchmark, budget, { steps }), seed: 0 };
    return (await recover(context, student, teacher, data, plan)).seconds;
  };
  const searchStep = (await perStep(search)).each;
  const recovering = await perStep(recovery);
  const started = performance.now();
  await fixedLoss(context, student, data, budget.calibration, 0);
  const pass = secondsSince(started);
  const scored = await scoreModel(context, { benchmark, opened, model: student, images: IMAGES, seed: 0 });
  const image = scored.secondsPerImage;
  const perRecoveredTrial = recovering.once + 2 * pass + scored.scoreSeconds + scored.sampleSeconds - IMAGES * image;
  return { searchStep, pass, recoveryStep: recovering.each, image, perRecoveredTrial };
}

/** Seconds of a step, and of building. */
async function perStep(run: (steps: number) => Promise<number>): Promise<{ each: number; once: number }> {
  const [short, long] = [await run(SHORT), await run(LONG)];
  const each = Math.max(0, long - short) / (LONG - SHORT);
  return { each, once: Math.max(0, short - SHORT * each) };
}

/** The seconds of a trial at these rates. */
export function secondsOf({ work }: Trial, rates: Rates): number {
  const { searchSteps = 0, passes = 0, recoverySteps = 0, images = 0 }: Work = work;
  const steps = searchSteps * rates.searchStep + passes * rates.pass + recoverySteps * rates.recoveryStep;
  return steps + images * rates.image + (images > 0 ? rates.perRecoveredTrial : 0);
}

export interface StudyPlan {
  readonly context: StudyContext;
  /** The name of the study, or all. */
  readonly name: string;
  /** The chosen trials. */
  readonly trials: readonly Trial[];
  readonly budget: Budget;
  readonly find: Find;
  readonly terminal: Terminal;
}

/** The packaged benchmark whose shape a trial's benchmark has. */
const familyOf = (benchmark: string): PackagedFamily =>
  benchmark === "sit" || benchmark === "mar" ? benchmark : "dit";

/** Prints the plan; returns the exit code. */
export async function printPlan({ context, name, trials, budget, find, terminal }: StudyPlan): Promise<number> {
  const all = withNeeds(trials);
  const missing = all.filter((trial) => find(trial) === undefined);
  terminal.print(`${name}: ${all.length} trials, ${all.length - missing.length} of them there; nothing is written`);
  const rates = new Map<PackagedFamily, Rates>();
  for (const benchmark of new Set(missing.map((trial) => familyOf(trial.benchmark)))) {
    terminal.note(`cost estimate: a few steps of each stage, ${benchmark} …`);
    rates.set(benchmark, await estimateRates(context, packagedBenchmark(benchmark, budget), budget));
  }
  const seconds = (trial: Trial) => secondsOf(trial, rates.get(familyOf(trial.benchmark))!);
  const variantOf = (trial: Trial) => `${trial.study} ${trial.variant}`;
  const rows = [...new Set(missing.map(variantOf))].map((variant) => {
    const own = missing.filter((trial) => variantOf(trial) === variant);
    const seeds = own.map(({ seed }) => seed).join(",");
    return [variant, seeds, duration(seconds(own[0]!)), duration(own.reduce((sum, trial) => sum + seconds(trial), 0))];
  });
  for (const line of tableLines([["variant", "missing seeds", "a trial", "all"], ...rows], [2, 3]))
    terminal.print(`  ${line}`);
  const total = missing.reduce((sum, trial) => sum + seconds(trial), 0);
  terminal.print(`together about ${duration(total)}, estimated by a few steps on ${context.settings.threads} threads`);
  return 0;
}
