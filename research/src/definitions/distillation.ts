/** Study (c): what a student is taught, from nothing but data to features without their extreme values. */
import type { Find } from "../cells/cell.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask } from "../pipeline/masks.ts";
import type { RecoveryPlan } from "../pipeline/recover.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { byMask } from "../pipeline/students.ts";
import { packagedSubject } from "../pipeline/subject.ts";
import { type Compared, comparedText, comparedWith, missingText, sortedOut, standingText } from "../report/compared.ts";
import type { RecoveredArms } from "../report/distances.ts";
import { recoveredBars, recoveredRows, recoveredSection, troubleText } from "../report/recovered-table.ts";
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
    question:
      "On the learned mask: no teacher, its outputs, its blocks' features as well, or those without values beyond 0.1, 2 or 4 " +
      "standard deviations. Does masked distillation beat the others?",
    arms: () => arms,
    report: (find) => ({
      ...answersOf(arms, find),
      drawings: [recoveredBars("distances", "Kinds of distillation, after equal recovery", arms, find, MASKED)],
      sections: [recoveredSection("All arms", arms, find, MASKED)],
      table: recoveredRows(arms, find),
    }),
  };
}

function answersOf(arms: RecoveredArms, find: Find): { headline: string; answer: string } {
  const question = "Does masked distillation beat the other kinds?";
  const masked = arms.find(({ name }) => name === MASKED)!;
  const others = arms.filter((arm) => arm !== masked);
  const compared = comparedWith(masked, others, find);
  const numbers = isComparison(compared) ? comparedText(compared) : "";
  const missing = missingText(arms, find);
  const verdict = missing ?? verdictOf(compared);
  const headline = [question, missing ? "That is open: cells are missing." : `${verdict} ${numbers}`].join(" ").trim();
  const answer = [question, verdict, numbers, missing ? "" : doubtOf(compared), troubleText(arms, find)];
  return { headline, answer: answer.filter(Boolean).join(" ") };
}

/** Whether there is anything to compare, and a seed to do it with. */
const isComparison = ({ mean, others }: Compared): boolean => mean.n > 0 && others.length > 0;

function verdictOf(compared: Compared): string {
  if (!isComparison(compared)) return "No seed has scores to compare.";
  const isBest = sortedOut(compared).lower.length === compared.others.length;
  return isBest
    ? "Yes: it is lower than each by at least two standard errors."
    : `Not each of them: its FD-digits is ${standingText(compared)}.`;
}

function doubtOf(compared: Compared): string {
  const { lower } = sortedOut(compared);
  if (!isComparison(compared) || lower.length === compared.others.length) return "";
  return (
    "A hypothesis: not that extreme values are missing (study activations finds them), but that the loss of features has little " +
    "weight in so short a recovery, and decays; a larger weight, or a longer recovery, would tell."
  );
}
