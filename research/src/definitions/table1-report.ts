/** What table 1 found: its tests, what they leave out, and where the paper's order does not hold. */

import { counted } from "tinyfusion";
import type { Find } from "../cells/cell.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import type { SpeedResult } from "../pipeline/speed-cell.ts";
import { comparedWith, differenceText, isClear, missingText, standingText } from "../report/compared.ts";
import { distanceOf, type RecoveredArms } from "../report/distances.ts";
import { primaryAnswer, primaryHeadline, primarySection } from "../report/primary.ts";
import { primaryComparisons } from "../report/primary-comparisons.ts";
import { recoveredBars, recoveredRows, recoveredSection, troubleText } from "../report/recovered-table.ts";
import { speedSection } from "../report/speed-table.ts";
import type { Arm, StudyReport } from "./study.ts";

/** What the arms are for. */
export interface Roles {
  /** The learned mask. */
  readonly own: Arm<RecoveredResult>;
  /** Those it is tested against, besides the best method by score, which is absent until it is chosen. */
  readonly rivals: RecoveredArms;
  readonly best: Arm<RecoveredResult> | undefined;
  /** Methods by score that keep blocks anywhere. */
  readonly free: RecoveredArms;
  /** Half of the width at full depth. */
  readonly width: Arm<RecoveredResult>;
  readonly teacher: Arm<RecoveredResult>;
  readonly speed: SpeedResult | undefined;
}

/** The report from the cells that are there. */
export function table1Report(arms: RecoveredArms, roles: Roles, find: Find): StudyReport {
  const { own, rivals, best, free, teacher, speed } = roles;
  const tested = [
    ...rivals.map((arm) => ({ name: arm.name, arm })),
    { name: best ? `${best.name} (best by score)` : "the best by score", arm: best },
  ];
  const comparisons = primaryComparisons(own, tested, find);
  const withRoles = [own, ...rivals, teacher, ...(best ? [best] : [])].map(({ name }) => name);
  const others = arms.filter(({ name }) => !withRoles.includes(name)).map((arm) => comparedWith(arm, [own], find));
  const trouble = troubleText(arms, find);
  const shown = fromBest(arms, find);
  const answers = [primaryAnswer(comparisons, others), asPublishedText(own, free, find), widthText(roles, find)];
  return {
    headline: primaryHeadline(comparisons),
    answer: answers.filter(Boolean).join("\n\n"),
    drawings: [recoveredBars("distances", "Half of the blocks, after equal recovery", shown, find, own.name)],
    sections: [
      recoveredSection("All arms, from best to worst", shown, find, own.name),
      primarySection(comparisons),
      ...(speed ? [speedSection(speed)] : []),
      {
        kind: "text",
        text:
          "Arms named -free place their half of the blocks anywhere, as published; all others keep one of every two, as the " +
          "learned mask does. `width` is Diff-Pruning at half of the heads and MLP channels; it keeps all blocks." +
          (trouble && `\n\n${trouble}`),
      },
    ],
    table: recoveredRows(arms, find),
  };
}

/** By mean FD-digits; those without scores last. */
function fromBest(arms: RecoveredArms, find: Find): RecoveredArms {
  const scored = arms.filter((arm) => distanceOf(arm, find).n > 0);
  const sorted = scored.toSorted((a, b) => distanceOf(a, find).mean - distanceOf(b, find).mean);
  return [...sorted, ...arms.filter((arm) => !scored.includes(arm))];
}

/** Against the methods by score without the constraint of the learned mask; empty while cells are missing. */
function asPublishedText(own: Arm<RecoveredResult>, free: RecoveredArms, find: Find): string {
  const compared = comparedWith(own, free, find);
  if (missingText(free, find) || compared.others.length === 0 || compared.mean.n === 0) return "";
  const sizes = compared.others.map(({ difference }) => difference.mean);
  return (
    `Against methods by score as published, which keep blocks anywhere, it is ${standingText(compared)} ` +
    `(differences of ${Math.min(...sizes).toFixed(1)} to ${Math.max(...sizes).toFixed(1)}, ${counted(compared.mean.n, "common seed")}).`
  );
}

/** Where half of the width recovers better than half of the depth, which is not the paper's order; else empty. */
function widthText({ own, width, speed }: Roles, find: Find): string {
  const [other] = comparedWith(own, [width], find).others;
  if (missingText([width], find) || !other || other.difference.mean > 0 || !isClear(other.difference)) return "";
  const cost = (arm: Arm<RecoveredResult>) => find(arm.cells[0]!)!;
  const more = 100 * (cost(width).parameters / cost(own).parameters - 1);
  const times = speed?.models.map(({ name, ratio }) => `${name} ${ratio.toFixed(2)}`).slice(1);
  const faster = times ? ` (${times.join(" and ")} times as fast as the teacher)` : "";
  return (
    `Half the width (Diff-Pruning) beats half the depth, unlike in the paper: learned is ${differenceText(other.difference)}, at ` +
    `equal multiply-accumulates but with ${more.toFixed(0)}% more parameters in width${faster}. A hypothesis: this teacher is narrow ` +
    "and very deep, each block does little, and all 28 of them need fewer channels; widths of equal measured speed, or a wide " +
    "teacher, would tell."
  );
}
