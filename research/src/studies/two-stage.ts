/** Study (g): a quarter of the blocks in two stages, or at once, with equal search and recovery in all. */

import { packagedSubject } from "../pipeline/benchmark.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask } from "../pipeline/masks.ts";
import { recoveryPlan } from "../pipeline/recover.ts";
import { byMask, inTwoStages } from "../pipeline/students.ts";
import { differencesSection } from "../report/differences.ts";
import { divergedSections, recoveredBars, recoveredRows, recoveredSection } from "../report/recovered-table.ts";
import type { Study, StudyOptions } from "./study.ts";
import { ArmMaker } from "./variants.ts";

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
      drawings: [recoveredBars("distances", "Seven blocks, in two stages and at once", arms, find)],
      sections: [
        recoveredSection("Both ways", arms, find),
        differencesSection(atOnce, [staged], find),
        ...divergedSections(arms, find),
      ],
      table: recoveredRows(arms, find),
    }),
  };
}
