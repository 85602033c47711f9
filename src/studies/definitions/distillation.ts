/** Study (c): what a student is taught, from nothing but data to features without their extreme values. */

import type { Find } from "../cells/cell.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask } from "../pipeline/masks.ts";
import type { RecoveryPlan } from "../pipeline/recover.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { byMask } from "../pipeline/students.ts";
import { packagedSubject } from "../pipeline/subject.ts";
import {
  distanceOf,
  type RecoveredArms,
  recoveredBars,
  recoveredRows,
  recoveredSection,
  troubleText,
} from "../report/recovered-table.ts";
import { meanText } from "../statistics/mean.ts";
import { ArmMaker } from "./recovered-arms.ts";
import type { Arm, Study, StudyOptions } from "./study.ts";
import { table1 } from "./table1.ts";

const MASKED = "masked 2σ";

const kinds: readonly (readonly [string, Partial<RecoveryPlan>])[] = [
  ["none", { distill: "none" }],
  ["output", { distill: "output" }],
  ["features unmasked", { distill: "features" }],
  ["masked 0.1σ", { maskSigma: 0.1 }],
  [MASKED, {}],
  ["masked 4σ", { maskSigma: 4 }],
];

export function distillation(options: StudyOptions): Study {
  const { budget } = options;
  const spec = packagedSubject("dit", budget);
  const make = new ArmMaker("distillation", spec, budget);
  const seeds = seedsUpTo(budget.otherSeeds);
  const arms = kinds.map(([name, changed]): Arm<RecoveredResult> => {
    // Another study has this one.
    if (name === MASKED) return { ...table1(options).learned(seeds), name };
    return make.arm(name, seeds, (seed) => byMask(learnedMask(spec, seed, budget)), changed);
  });
  return {
    name: "distillation",
    title: "What the student is taught",
    isHeadline: true,
    question:
      "On the learned mask: no teacher, its outputs, its blocks' features as well, or those without values beyond 0.1, 2 or 4 " +
      "standard deviations. Does masked distillation beat the others?",
    arms: () => arms,
    report: (find) => ({
      answer: answerOf(arms, find),
      drawings: [recoveredBars("distances", "Kinds of distillation, after equal recovery", arms, find, MASKED)],
      sections: [recoveredSection("All arms", arms, find, MASKED)],
      table: recoveredRows(arms, find),
    }),
  };
}

function answerOf(arms: RecoveredArms, find: Find): string {
  const question = "Does masked distillation beat the other kinds?";
  if (arms.some((arm) => distanceOf(arm, find).n === 0)) return `${question} Not all arms have a cell yet.`;
  const masked = distanceOf(arms.find(({ name }) => name === MASKED)!, find);
  const others = arms.filter(({ name }) => name !== MASKED);
  const worse = others.filter((arm) => distanceOf(arm, find).mean > masked.mean);
  const said = others.map((arm) => `${arm.name} ${meanText(distanceOf(arm, find))}`).join(", ");
  const numbers = `FD-digits of ${MASKED} is ${meanText(masked)}; ${said}.`;
  const trouble = troubleText(arms, find);
  const verdict =
    worse.length === others.length
      ? "Yes, by its mean it is the best."
      : `Not against ${others
          .filter((arm) => !worse.includes(arm))
          .map(({ name }) => name)
          .join(" and ")}, by the means.`;
  const doubt =
    worse.length === others.length
      ? ""
      : " A hypothesis: the features of this narrow teacher have few extreme values, and their loss has little weight in so " +
        "short a recovery; the share of such values (study activations) and a larger weight would tell.";
  return `${question} ${verdict} ${numbers}${doubt} ${trouble}`.trim();
}
