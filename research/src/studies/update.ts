/** Study (b), the paper's table 4 in small: groups of 2, 4 and 14 blocks, and what is trained beside the gates. */
import type { Section } from "tinyfusion";
import { packagedSubject } from "../pipeline/benchmark.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask } from "../pipeline/masks.ts";
import type { RecoveredResult } from "../pipeline/recovered-trial.ts";
import { byMask, withUpdate } from "../pipeline/students.ts";
import { differencesSection, distanceOf, type RecoveredArms } from "../report/differences.ts";
import { divergedSections, recoveredBars, recoveredRows, recoveredSection } from "../report/recovered-table.ts";
import type { Find } from "../trials/trial.ts";
import type { Arm, Study, StudyOptions } from "./study.ts";
import { table1 } from "./table1.ts";
import { ArmMaker } from "./variants.ts";

const groupings = ["1:2", "2:4", "7:14"] as const;
const updates = ["lora", "full", "none"] as const;

export function update(options: StudyOptions): Study {
  const { budget } = options;
  const spec = packagedSubject("dit", budget);
  const make = new ArmMaker("update", spec, budget);
  const seeds = seedsUpTo(budget.otherSeeds);
  const arms = groupings.flatMap((groups) => [
    ...updates.map((delta): Arm<RecoveredResult> => {
      const name = `${groups} ${delta}`;
      // Another study has this one.
      if (groups === "1:2" && delta === "lora") return { ...table1(options).learned(seeds), name };
      return make.arm(name, seeds, (seed) => byMask(learnedMask(spec, seed, budget, { groups, delta })));
    }),
    make.arm(`${groups} lora kept`, seeds, (seed) =>
      withUpdate(learnedMask(spec, seed, budget, { groups }), budget, { groups }),
    ),
  ]);
  return {
    name: "update",
    title: "What is trained beside the gates",
    question:
      "Groups of 2, 4 or 14 blocks, and low-rank updates, all weights or no weights beside the gates: which finds the mask that " +
      "recovers best? Kept: the learned update stays in the student instead of being discarded. (Table 4 of the paper, in small.)",
    arms: () => arms,
    report: (find) => ({
      drawings: [recoveredBars("distances", "Groups and updates, after equal recovery", arms, find, "1:2 lora")],
      sections: [
        recoveredSection("All variants", arms, find, "1:2 lora"),
        ...groupings.flatMap((groups) => againstBest(groups, armsOf(groups), find)),
        ...divergedSections(arms, find),
      ],
      table: recoveredRows(arms, find),
    }),
  };

  function armsOf(groups: string): Arm<RecoveredResult>[] {
    return arms.filter(({ name }) => name.startsWith(`${groups} `));
  }
}

/** The variants of a grouping against the one of lowest mean FD-digits; none while nothing has scores. */
function againstBest(groups: string, arms: RecoveredArms, find: Find): Section[] {
  const scored = arms.filter((arm) => distanceOf(arm, find).n > 0);
  if (scored.length < 2) return [];
  const best = scored.reduce((a, b) => (distanceOf(b, find).mean < distanceOf(a, find).mean ? b : a));
  const others = scored.filter((arm) => arm !== best);
  return [differencesSection(best, others, find, `Groups ${groups}: differences from the lowest mean`)];
}
