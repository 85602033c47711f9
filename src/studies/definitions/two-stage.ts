/** Study (g): a quarter of the blocks in two stages, or at once, with equal search and recovery in all. */
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask } from "../pipeline/masks.ts";
import { recoveryPlan } from "../pipeline/recover.ts";
import { byMask, inTwoStages } from "../pipeline/students.ts";
import { packagedSubject } from "../pipeline/subject.ts";
import { distanceOf, recoveredBars, recoveredRows, recoveredSection, troubleText } from "../report/recovered-table.ts";
import { counted } from "../report/words.ts";
import { meanOf, meanText } from "../statistics/mean.ts";
import { pairedDifferences } from "../statistics/paired.ts";
import { ArmMaker } from "./recovered-arms.ts";
import type { Study, StudyOptions } from "./study.ts";

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
    report(find) {
      const differences = pairedDifferences(staged, atOnce, find);
      const { mean, standardError, n } = meanOf(differences);
      const means = arms.map((arm) => `${arm.name}: ${meanText(distanceOf(arm, find))}`).join("; ");
      const size = `${Math.abs(mean).toFixed(1)}${n > 1 ? ` ± ${standardError.toFixed(1)}` : ""}`;
      const verdict =
        n === 0
          ? "The two ways have no common seed yet."
          : `In two stages FD-digits is ${size} ${mean > 0 ? "lower" : "higher"} than at once (${counted(n, "paired seed")}).`;
      return {
        answer: `${verdict} FD-digits of ${means}. ${troubleText(arms, find)}`.trim(),
        drawings: [recoveredBars("distances", "Seven blocks, in two stages and at once", arms, find)],
        sections: [recoveredSection("Both ways", arms, find)],
        table: recoveredRows(arms, find),
      };
    },
  };
}
