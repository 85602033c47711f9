/** Study (c): kinds of distillation, from none to features without their extreme values. */

import { packagedBenchmark } from "../pipeline/benchmark.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask } from "../pipeline/masks.ts";
import type { RecoveryPlan } from "../pipeline/recover.ts";
import type { RecoveredResult } from "../pipeline/recovered-trial.ts";
import { byMask } from "../pipeline/students.ts";
import { differencesSection } from "../report/differences.ts";
import { divergedSections, recoveredBars, recoveredRows, recoveredSection } from "../report/recovered-table.ts";
import type { Study, StudyOptions, Variant } from "./study.ts";
import { table1 } from "./table1.ts";
import { VariantMaker } from "./variants.ts";

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
  const benchmark = packagedBenchmark("dit", budget);
  const make = new VariantMaker("distillation", benchmark, budget);
  const seeds = seedsUpTo(budget.otherSeeds);
  const variants = kinds.map(([name, changed]): Variant<RecoveredResult> => {
    // Another study has this one.
    if (name === MASKED) return { ...table1(options).learned(seeds), name };
    return make.variant(name, seeds, (seed) => byMask(learnedMask(benchmark, seed, budget)), changed);
  });
  const masked = variants.find(({ name }) => name === MASKED)!;
  const others = variants.filter((variant) => variant !== masked);
  return {
    name: "distillation",
    title: "Kinds of distillation",
    question:
      "On the learned mask: no teacher, its outputs, its blocks' features as well, or those without values beyond 0.1, 2 or 4 " +
      "standard deviations. Does masked distillation beat the others?",
    variants: () => variants,
    report: (find) => ({
      figures: [recoveredBars("distances", "Kinds of distillation, after equal recovery", variants, find, MASKED)],
      sections: [
        recoveredSection("All variants", variants, find, MASKED),
        differencesSection(masked, others, find),
        ...divergedSections(variants, find),
      ],
      table: recoveredRows(variants, find),
    }),
  };
}
