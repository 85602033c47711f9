/** How arms compare where nothing is tested: mean differences ± standard error over the seeds that all of them have. */

import { counted, listed } from "tinyfusion";
import type { Find } from "../cells/cell.ts";
import type { Arm } from "../definitions/study.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { type Mean, meanOf, meanText } from "../statistics/mean.ts";
import { commonSeeds, distanceOf, distancesOf, missingIn, pairedDifferences, type RecoveredArms } from "./distances.ts";

/** `8.5 ± 0.9 lower`, from by how much the other is higher. */
export function differenceText({ mean, standardError }: Mean): string {
  const error = Number.isFinite(standardError) ? ` ± ${standardError.toFixed(1)}` : "";
  return `${Math.abs(mean).toFixed(1)}${error} ${mean > 0 ? "lower" : "higher"}`;
}

/** Whether a mean difference is at least two standard errors from 0; of one pair nobody can say. */
export const isClear = ({ mean, standardError }: Mean): boolean => mean !== 0 && Math.abs(mean) >= 2 * standardError;

export const NOT_TOLD_APART = "not to be told apart";

/** An arm against others, over the seeds that all of them have. */
export interface Compared {
  readonly own: Arm<RecoveredResult>;
  readonly mean: Mean;
  readonly others: readonly {
    readonly name: string;
    readonly mean: Mean;
    /** Above 0 where `own` is lower. */
    readonly difference: Mean;
  }[];
}

/** Arms without any scores have nothing to compare: they are left out. */
export function comparedWith(own: Arm<RecoveredResult>, others: RecoveredArms, find: Find): Compared {
  const scored = others.filter((arm) => distancesOf(arm, find).size > 0);
  const seeds = commonSeeds([own, ...scored], find);
  return {
    own,
    mean: distanceOf(own, find, seeds),
    others: scored.map((arm) => ({
      name: arm.name,
      mean: distanceOf(arm, find, seeds),
      difference: meanOf(pairedDifferences(own, arm, find, seeds)),
    })),
  };
}

/** The others that `own` is clearly lower than, clearly higher than, and those it is not to be told apart from. */
export function sortedOut({ others }: Compared) {
  const names = (is: (difference: Mean) => boolean) =>
    others.filter(({ difference }) => is(difference)).map(({ name }) => name);
  return {
    lower: names((difference) => isClear(difference) && difference.mean > 0),
    higher: names((difference) => isClear(difference) && difference.mean < 0),
    alike: names((difference) => !isClear(difference)),
  };
}

/** `lower than a and b, not to be told apart from c, higher than d`. */
export function standingText(compared: Compared): string {
  const { lower, higher, alike } = sortedOut(compared);
  const parts = [
    lower.length > 0 ? `lower than ${listed(lower)}` : "",
    alike.length > 0 ? `${NOT_TOLD_APART} from ${listed(alike)}` : "",
    higher.length > 0 ? `higher than ${listed(higher)}` : "",
  ];
  return parts.filter(Boolean).join(", ");
}

/** `FD-digits of a is 31.0 ± 0.9, 5.1 ± 0.6 lower than b and 0.3 ± 0.4 lower than c (not to be told apart); 3 paired seeds.` */
export function comparedText(
  { own, mean, others }: Compared,
  shown: (name: string) => string = (name) => name,
): string {
  const parts = others.map(({ name, difference }) => {
    const doubt = isClear(difference) ? "" : ` (${NOT_TOLD_APART})`;
    return `${differenceText(difference)} than ${shown(name)}${doubt}`;
  });
  return `FD-digits of ${shown(own.name)} is ${meanText(mean)}, ${listed(parts)}; ${counted(mean.n, "paired seed")}.`;
}

/** Which planned cells are not there; undefined if all are. A verdict waits for them. */
export function missingText(arms: RecoveredArms, find: Find): string | undefined {
  const gaps = arms.map((arm) => ({ name: arm.name, of: arm.cells.length, missing: missingIn(arm, find) }));
  if (gaps.every(({ missing, of }) => missing === of)) return "No cell is there yet.";
  const parts = gaps
    .filter(({ missing }) => missing > 0)
    .map(({ name, missing, of }) => `${missing} of ${of} of ${name}`);
  return parts.length > 0 ? `Not all planned cells are there: missing are ${listed(parts)}.` : undefined;
}

/** Why an arm has no mean. */
export const absenceText = (arm: Arm<RecoveredResult>, find: Find): string =>
  missingIn(arm, find) < arm.cells.length ? "has no cell with scores: it diverged" : "has no cell yet";
