/** Study (g): a quarter of the blocks in two stages, or at once, with equal search and recovery in all. */

import { packagedBenchmark } from "../pipeline/benchmark.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask } from "../pipeline/masks.ts";
import { recoveryPlan } from "../pipeline/recover.ts";
import { byMask, inTwoStages } from "../pipeline/students.ts";
import { differencesSection } from "../report/differences.ts";
import { divergedSections, recoveredBars, recoveredRows, recoveredSection } from "../report/recovered-table.ts";
import type { Study, StudyOptions } from "./study.ts";
import { VariantMaker } from "./variants.ts";

export function twoStage({ budget }: StudyOptions): Study {
  const benchmark = packagedBenchmark("dit", budget);
  const make = new VariantMaker("two-stage", benchmark, budget);
  const seeds = seedsUpTo(budget.otherSeeds);
  const [searchSteps, steps] = [2 * budget.searchSteps, 2 * benchmark.recoverySteps];
  const atOnce = make.variant(
    "28 to 7 at once",
    seeds,
    (seed) => byMask(learnedMask(benchmark, seed, budget, { groups: "1:4", steps: searchSteps })),
    { steps },
  );
  const staged = make.variant("28 to 14 to 7", seeds, (seed) =>
    inTwoStages(learnedMask(benchmark, seed, budget), budget, recoveryPlan(benchmark, budget)),
  );
  const variants = [staged, atOnce];
  return {
    name: "two-stage",
    title: "Twenty-eight blocks to seven",
    question:
      "Is it better to prune to 14 blocks, recover, and prune the result to 7, or to prune to 7 at once? Searches and recoveries of " +
      "both ways have equally many steps in all; in two stages the recovered 14 blocks teach the 7.",
    variants: () => variants,
    report: (find) => ({
      figures: [recoveredBars("distances", "Seven blocks, in two stages and at once", variants, find)],
      sections: [
        recoveredSection("Both ways", variants, find),
        differencesSection(atOnce, [staged], find),
        ...divergedSections(variants, find),
      ],
      table: recoveredRows(variants, find),
    }),
  };
}
