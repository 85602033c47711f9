/** Results of trials by a rule, for the texts of reports: no trial is computed. */
import type { Section } from "tinyfusion";
import { budgets } from "../../src/pipeline/budget.ts";
import type { RecoveredResult } from "../../src/pipeline/recovered-trial.ts";
import { studiesOf } from "../../src/studies/studies.ts";
import type { Find, Trial } from "../../src/trials/trial.ts";

export const none: Find = () => undefined;

/** A recovered result of this FD-digits. */
export const resultOf = (distance: number, more: Partial<RecoveredResult> = {}): RecoveredResult => ({
  blocks: 14,
  kept: [0, 2],
  parameters: 1000,
  macs: 38_544_128,
  losses: { pruned: 0.2, heldOut: 0.1 },
  scores: { distance, distanceError: 1, floor: 15, labelAccuracy: 0.9, precision: 0.8, recall: 0.7 },
  seconds: { choose: 1, recover: 2, sample: 3, score: 4 },
  secondsPerImage: 0.01,
  ...more,
});

const { scores: _, ...unscored } = resultOf(0);

/** A result whose images are not finite numbers. */
export const diverged: RecoveredResult = unscored;

/** Finds results by the rule of a variant and a seed, numbers as FD-digits; none where it gives none. */
export const finding =
  (rule: (variant: string, seed: number) => number | object | undefined): Find =>
  <R>(trial: Trial<R>) => {
    const found = rule(trial.variant, trial.seed);
    return (typeof found === "number" ? resultOf(found) : found) as R | undefined;
  };

const studies = studiesOf({ budget: budgets.full, fashion: "nowhere" });
export const study = (name: string) => studies.find((one) => one.name === name)!;

export type Rule = Parameters<typeof finding>[0];

/** The rows of the table of this heading. */
export function tableOf(sections: readonly Section[], heading: string): (string | number)[][] {
  const found = sections.find((section) => section.heading === heading);
  if (found?.kind !== "table") throw new Error(`no table ${heading}`);
  return found.rows.map((row) => [...row]);
}

/** Noise that pairs share: means of unequal seeds would differ by it. */
export const shared = (seed: number): number => 10 * seed;
