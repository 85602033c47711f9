/** What cells will take: a few steps of each stage are timed, and scaled to the work of the cells. */
import type { Budget } from "../pipeline/budget.ts";
import { fixedLoss, judge } from "../pipeline/judge.ts";
import { searchMask } from "../pipeline/mask-search.ts";
import { searchPlan } from "../pipeline/masks.ts";
import { recover, recoveryPlan } from "../pipeline/recover.ts";
import { everyOther, shallow } from "../pipeline/students.ts";
import type { SubjectSpec } from "../pipeline/subject.ts";
import type { Cell, Work } from "./cell.ts";
import { type Lab, secondsSince } from "./lab.ts";

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
