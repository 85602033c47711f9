/** Paired differences of FD-digits as a table: each variant against one other, over the seeds that both have. */

import type { Section } from "tinyfusion";
import type { RecoveredResult } from "../pipeline/recovered-trial.ts";
import { type Mean, meanOf, meanText } from "../statistics.ts";
import type { Variant } from "../studies/study.ts";
import type { Find } from "../trials/trial.ts";

/** One row for each of `others` that shares a seed with scores with `reference`. */
export function differencesSection(
  reference: Variant<RecoveredResult>,
  others: RecoveredVariants,
  find: Find,
  heading = `Differences from ${reference.name}`,
): Section {
  const rows = others.flatMap((variant) => {
    const seeds = commonSeeds([variant, reference], find);
    if (seeds.length === 0) return [];
    const difference = meanOf(pairedDifferences(reference, variant, find, seeds));
    return [
      [
        variant.name,
        reference.name,
        seeds.length,
        meanText(distanceOf(variant, find, seeds)),
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

export type RecoveredVariants = readonly Variant<RecoveredResult>[];

/** FD-digits by seed, of the trials that are there and have scores. */
export function distancesOf({ trials }: Variant<RecoveredResult>, find: Find): ReadonlyMap<number, number> {
  return new Map(
    trials.flatMap((trial) => {
      const scores = find(trial)?.scores;
      return scores ? [[trial.seed, scores.distance] as const] : [];
    }),
  );
}

/** The seeds that have scores in each of these variants. */
export function commonSeeds(variants: RecoveredVariants, find: Find): number[] {
  const [first, ...others] = variants.map((variant) => distancesOf(variant, find));
  return Array.from(first?.keys() ?? []).filter((seed) => others.every((distances) => distances.has(seed)));
}

/** FD-digits of a variant over all its seeds with scores, or over some of them. */
export function distanceOf(variant: Variant<RecoveredResult>, find: Find, seeds?: readonly number[]): Mean {
  const distances = distancesOf(variant, find);
  return meanOf(seeds ? seeds.map((seed) => distances.get(seed)!) : [...distances.values()]);
}

/** FD-digits of `rival` less that of `own`, above 0 where `own` is better, for the seeds that both have or for some of them. */
export function pairedDifferences(
  own: Variant<RecoveredResult>,
  rival: Variant<RecoveredResult>,
  find: Find,
  seeds: readonly number[] = commonSeeds([own, rival], find),
): number[] {
  const [ours, theirs] = [distancesOf(own, find), distancesOf(rival, find)];
  return seeds.map((seed) => theirs.get(seed)! - ours.get(seed)!);
}
