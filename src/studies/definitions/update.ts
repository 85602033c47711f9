/** Study (b), the paper's table 4 in small: groups of 2, 4 and 14 blocks, and what is trained beside the gates. */
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask } from "../pipeline/masks.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { byMask, withUpdate } from "../pipeline/students.ts";
import { packagedSubject } from "../pipeline/subject.ts";
import { distanceOf, recoveredBars, recoveredRows, recoveredSection, troubleText } from "../report/recovered-table.ts";
import { meanText } from "../statistics/mean.ts";
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
        ...groupings.map((groups) => {
          const own = arms.filter(({ name }) => name.startsWith(`${groups} `) && distanceOf(arm(name), find).n > 0);
          if (own.length < updates.length + 1) return `Of ${groups}, not all arms have a cell yet.`;
          const best = own.reduce((a, b) => (distanceOf(b, find).mean < distanceOf(a, find).mean ? b : a));
          const said = own.map((one) => `${one.name.slice(groups.length + 1)} ${meanText(distanceOf(one, find))}`);
          return `With ${groups}, FD-digits is lowest with ${best.name.slice(groups.length + 1)} (${said.join(", ")}).`;
        }),
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

  function arm(name: string): Arm<RecoveredResult> {
    return arms.find((one) => one.name === name)!;
  }
}
