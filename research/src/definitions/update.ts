/** Study (b), the paper's table 4 in small: groups of 2, 4 and 14 blocks, and what is trained beside the gates. */
import type { Find } from "../cells/cell.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask } from "../pipeline/masks.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { byMask, withUpdate } from "../pipeline/students.ts";
import { packagedSubject } from "../pipeline/subject.ts";
import { comparedText, comparedWith, missingText, NOT_TOLD_APART, sortedOut } from "../report/compared.ts";
import { commonSeeds, distanceOf, type RecoveredArms } from "../report/distances.ts";
import { recoveredBars, recoveredRows, recoveredSection, troubleText } from "../report/recovered-table.ts";
import { ArmMaker } from "./recovered-arms.ts";
import type { Arm, Study, StudyOptions } from "./study.ts";
import { table1 } from "./table1.ts";

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
      answer: [
        ...groupings.map((groups) => answerOf(groups, armsOf(groups), find)),
        "In the paper low-rank updates are best at 1:2 and 2:4.",
        troubleText(arms, find),
      ]
        .join(" ")
        .trim(),
      drawings: [recoveredBars("distances", "Groups and updates, after equal recovery", arms, find, "1:2 lora")],
      sections: [recoveredSection("All arms", arms, find, "1:2 lora")],
      table: recoveredRows(arms, find),
    }),
  };

  function armsOf(groups: string): Arm<RecoveredResult>[] {
    return arms.filter(({ name }) => name.startsWith(`${groups} `));
  }
}

/** The best of a grouping against the others, by means over the seeds that all of them have. */
function answerOf(groups: string, arms: RecoveredArms, find: Find): string {
  const missing = missingText(arms, find);
  if (missing) return `With ${groups}: ${missing}`;
  const scored = arms.filter((arm) => distanceOf(arm, find).n > 0);
  const seeds = commonSeeds(scored, find);
  if (seeds.length === 0 || scored.length < 2) return `With ${groups} no seed has scores to compare.`;
  const mean = (arm: Arm<RecoveredResult>) => distanceOf(arm, find, seeds).mean;
  const best = scored.reduce((a, b) => (mean(b) < mean(a) ? b : a));
  const others = scored.filter((arm) => arm !== best);
  const compared = comparedWith(best, others, find);
  const { lower } = sortedOut(compared);
  const verdict =
    lower.length === others.length
      ? "one way is the best"
      : lower.length === 0
        ? `all are ${NOT_TOLD_APART}`
        : `the best are ${NOT_TOLD_APART}`;
  return `With ${groups} ${verdict}: ${comparedText(compared, (name) => name.slice(groups.length + 1))}`;
}
