/** Study (b), the paper's table 4 in small: groups of 2, 4 and 14 blocks, and what is trained beside the gates. */
import type { Section } from "tinyfusion";
import { packagedBenchmark } from "../pipeline/benchmark.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask } from "../pipeline/masks.ts";
import type { RecoveredResult } from "../pipeline/recovered-trial.ts";
import { byMask, withUpdate } from "../pipeline/students.ts";
import { differencesSection, distanceOf, type RecoveredVariants } from "../report/differences.ts";
import { divergedSections, recoveredBars, recoveredRows, recoveredSection } from "../report/recovered-table.ts";
import type { Find } from "../trials/trial.ts";
import type { Study, StudyOptions, Variant } from "./study.ts";
import { table1 } from "./table1.ts";
import { VariantMaker } from "./variants.ts";

const groupings = ["1:2", "2:4", "7:14"] as const;
const updates = ["lora", "full", "none"] as const;

export function update(options: StudyOptions): Study {
  const { budget } = options;
  const benchmark = packagedBenchmark("dit", budget);
  const make = new VariantMaker("update", benchmark, budget);
  const seeds = seedsUpTo(budget.otherSeeds);
  const variants = groupings.flatMap((groups) => [
    ...updates.map((delta): Variant<RecoveredResult> => {
      const name = `${groups} ${delta}`;
      // Another study has this one.
      if (groups === "1:2" && delta === "lora") return { ...table1(options).learned(seeds), name };
      return make.variant(name, seeds, (seed) => byMask(learnedMask(benchmark, seed, budget, { groups, delta })));
    }),
    make.variant(`${groups} lora kept`, seeds, (seed) =>
      withUpdate(learnedMask(benchmark, seed, budget, { groups }), budget, { groups }),
    ),
  ]);
  return {
    name: "update",
    title: "What is trained beside the gates",
    question:
      "Groups of 2, 4 or 14 blocks, and low-rank updates, all weights or no weights beside the gates: which finds the mask that " +
      "recovers best? Kept: the learned update stays in the student instead of being discarded. (Table 4 of the paper, in small.)",
    variants: () => variants,
    report: (find) => ({
      figures: [recoveredBars("distances", "Groups and updates, after equal recovery", variants, find, "1:2 lora")],
      sections: [
        recoveredSection("All variants", variants, find, "1:2 lora"),
        ...groupings.flatMap((groups) => againstBest(groups, variantsOf(groups), find)),
        ...divergedSections(variants, find),
      ],
      table: recoveredRows(variants, find),
    }),
  };

  function variantsOf(groups: string): Variant<RecoveredResult>[] {
    return variants.filter(({ name }) => name.startsWith(`${groups} `));
  }
}

/** The variants of a grouping against the one of lowest mean FD-digits; none while nothing has scores. */
function againstBest(groups: string, variants: RecoveredVariants, find: Find): Section[] {
  const scored = variants.filter((variant) => distanceOf(variant, find).n > 0);
  if (scored.length < 2) return [];
  const best = scored.reduce((a, b) => (distanceOf(b, find).mean < distanceOf(a, find).mean ? b : a));
  const others = scored.filter((variant) => variant !== best);
  return [differencesSection(best, others, find, `Groups ${groups}: differences from the lowest mean`)];
}
