/** Study (c): what a student is taught, from nothing but data to features without their extreme values. */

import { packagedSubject } from "../pipeline/benchmark.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask } from "../pipeline/masks.ts";
import type { RecoveryPlan } from "../pipeline/recover.ts";
import type { RecoveredResult } from "../pipeline/recovered-trial.ts";
import { byMask } from "../pipeline/students.ts";
import { differencesSection } from "../report/differences.ts";
import { divergedSections, recoveredBars, recoveredRows, recoveredSection } from "../report/recovered-table.ts";
import type { Arm, Study, StudyOptions } from "./study.ts";
import { table1 } from "./table1.ts";
import { ArmMaker } from "./variants.ts";

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
  const masked = arms.find(({ name }) => name === MASKED)!;
  const others = arms.filter((arm) => arm !== masked);
  return {
    name: "distillation",
    title: "What the student is taught",
    question:
      "On the learned mask: no teacher, its outputs, its blocks' features as well, or those without values beyond 0.1, 2 or 4 " +
      "standard deviations. Does masked distillation beat the others?",
    arms: () => arms,
    report: (find) => ({
      drawings: [recoveredBars("distances", "Kinds of distillation, after equal recovery", arms, find, MASKED)],
      sections: [
        recoveredSection("All variants", arms, find, MASKED),
        differencesSection(masked, others, find),
        ...divergedSections(arms, find),
      ],
      table: recoveredRows(arms, find),
    }),
  };
}
