/** Paired differences of FD-digits as a table: each arm against one other, over the seeds that both have. */
import type { Section } from "tinyfusion";
import type { Find } from "../cells/cell.ts";
import type { Arm } from "../definitions/study.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { type Mean, meanOf, meanText } from "../statistics/mean.ts";
import { commonSeeds, distanceOf, pairedDifferences, type RecoveredArms } from "./distances.ts";

/** One row for each of `others` that shares a seed with scores with `reference`. */
export function differencesSection(
  reference: Arm<RecoveredResult>,
  others: RecoveredArms,
  find: Find,
  heading = `Differences from ${reference.name}`,
): Section {
  const rows = others.flatMap((arm) => {
    const seeds = commonSeeds([arm, reference], find);
    if (seeds.length === 0) return [];
    const difference = meanOf(pairedDifferences(reference, arm, find, seeds));
    return [
      [
        arm.name,
        reference.name,
        seeds.length,
        meanText(distanceOf(arm, find, seeds)),
        meanText(distanceOf(reference, find, seeds)),
        meanText(difference),
        isClear(difference) ? "yes" : "no",
      ],
    ];
  });
  return {
    heading,
    kind: "table",
    columns: [
      "variant",
      "reference",
      "paired seeds",
      "its FD",
      "reference's FD",
      "difference",
      "beyond 2 standard errors",
    ],
    rows,
  };
}

/** Whether a mean difference is at least two standard errors from 0; one pair cannot say. */
const isClear = ({ mean, standardError }: Mean): boolean => mean !== 0 && Math.abs(mean) >= 2 * standardError;
