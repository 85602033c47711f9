/** Study (g): a quarter of the blocks in two stages, or at once, with equal search and recovery in all. */

import { counted } from "tinyfusion";
import type { Find } from "../cells/cell.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask } from "../pipeline/masks.ts";
import { recoveryPlan } from "../pipeline/recover.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { byMask, inTwoStages } from "../pipeline/students.ts";
import { packagedSubject } from "../pipeline/subject.ts";
import { comparedWith, differenceText, isClear, missingText, NOT_TOLD_APART } from "../report/compared.ts";
import { recoveredBars, recoveredRows, recoveredSection, troubleText } from "../report/recovered-table.ts";
import { meanText } from "../statistics/mean.ts";
import { ArmMaker } from "./recovered-arms.ts";
import type { Arm, Study, StudyOptions } from "./study.ts";

export function twoStage({ budget }: StudyOptions): Study {
  const spec = packagedSubject("dit", budget);
  const make = new ArmMaker("two-stage", spec, budget);
  const seeds = seedsUpTo(budget.otherSeeds);
  const [searchSteps, steps] = [2 * budget.searchSteps, 2 * spec.recoverySteps];
  const atOnce = make.arm(
    "28 to 7 at once",
    seeds,
    (seed) => byMask(learnedMask(spec, seed, budget, { groups: "1:4", steps: searchSteps })),
    { steps },
  );
  const staged = make.arm("28 to 14 to 7", seeds, (seed) =>
    inTwoStages(learnedMask(spec, seed, budget), budget, recoveryPlan(spec, budget)),
  );
  const arms = [staged, atOnce];
  return {
    name: "two-stage",
    title: "Twenty-eight blocks to seven",
    question:
      "Is it better to prune to 14 blocks, recover, and prune the result to 7, or to prune to 7 at once? Searches and recoveries of " +
      "both ways have equally many steps in all; in two stages the recovered 14 blocks teach the 7.",
    arms: () => arms,
    report: (find) => ({
      answer: answerOf(staged, atOnce, find),
      drawings: [recoveredBars("distances", "Seven blocks, in two stages and at once", arms, find)],
      sections: [recoveredSection("Both ways", arms, find)],
      table: recoveredRows(arms, find),
    }),
  };
}

const WHY_AT_ONCE =
  "A hypothesis: of equally many steps in all, the seven blocks get half in two stages, and learn from a student instead of the " +
  "teacher; two stages with as many steps on seven blocks as at once, and with either teacher, would tell.";

function answerOf(staged: Arm<RecoveredResult>, atOnce: Arm<RecoveredResult>, find: Find): string {
  const arms = [staged, atOnce];
  const missing = missingText(arms, find);
  const { mean, others } = comparedWith(staged, [atOnce], find);
  const [once] = others;
  const parts = [missing];
  if (!once || mean.n === 0) parts.push(missing ? undefined : "No seed has scores for both ways.");
  else {
    const { difference } = once;
    const pairs = counted(difference.n, "paired seed");
    const doubt = missing || isClear(difference) ? "" : `: the two ways are ${NOT_TOLD_APART}`;
    parts.push(`In two stages FD-digits is ${differenceText(difference)} than at once (${pairs})${doubt}.`);
    parts.push(`FD-digits over these seeds: ${staged.name} ${meanText(mean)}, ${atOnce.name} ${meanText(once.mean)}.`);
    if (!missing && isClear(difference) && difference.mean < 0) parts.push(WHY_AT_ONCE);
  }
  return [...parts, troubleText(arms, find)].filter(Boolean).join(" ");
}
