/** The calibration losses of many random masks, and of the masks that methods picked, on the same examples. */
import { CalibrationLoss } from "../../pruning/calibration-loss.ts";
import { randomMask } from "../../pruning/fixed/random.ts";
import { parseGroups } from "../../pruning/groups.ts";
import { type Cell, cellFile } from "../cells/cell.ts";
import { type Lab, secondsSince } from "../cells/lab.ts";
import type { Budget } from "./budget.ts";
import { HALF, type MaskCell } from "./masks.ts";
import type { SubjectSpec } from "./subject.ts";

export interface RandomMasks {
  /** The loss of mask i of the seed; null where it was not finite. */
  readonly losses: readonly (number | null)[];
  /** The masks of smallest, middle and largest loss; of an even number the lower of the two in the middle. */
  readonly picks: { readonly [K in Place]: { readonly kept: readonly number[]; readonly loss: number } };
  readonly seconds: number;
}

export type Place = "min" | "median" | "max";

/** Random masks of one seed with their losses: none of them recovered. */
export function randomMasks(study: string, subject: SubjectSpec, budget: Budget): Cell<RandomMasks> {
  const [arm, seed] = ["random-masks", 0];
  const { masks, calibration } = budget;
  return {
    ...{ file: cellFile(study, arm, seed), study, arm, seed, subject: subject.name },
    settings: { groups: HALF, masks, calibration, seed, subject: subject.settings },
    needs: subject.needs,
    work: { passes: masks },
    async compute(lab) {
      const started = performance.now();
      const { family, config } = subject.model;
      const groups = parseGroups(HALF, family.stacks(config));
      const found = Array.from({ length: masks }, (_, i) => ({ kept: randomMask(groups, seed, i) }));
      const losses = await lossesOf(
        lab,
        subject,
        calibration,
        found.map(({ kept }) => kept),
      );
      const ranked = found
        .map(({ kept }, i) => ({ kept, loss: losses[i]! }))
        .filter(({ loss }) => Number.isFinite(loss))
        .sort((a, b) => a.loss - b.loss);
      const picks = {
        min: ranked[0]!,
        median: ranked[Math.floor((ranked.length - 1) / 2)]!,
        max: ranked.at(-1)!,
      };
      const stored = losses.map((loss) => (Number.isFinite(loss) ? loss : null));
      return { losses: stored, picks, seconds: secondsSince(started) };
    },
  };
}

/** The losses of named masks on the examples of the random ones. */
export type PickedLosses = Readonly<Record<string, number>>;

/** Of the masks that methods chose with seed 0. */
export function pickedLosses(
  study: string,
  subject: SubjectSpec,
  budget: Budget,
  picks: readonly (readonly [name: string, mask: MaskCell])[],
): Cell<PickedLosses> {
  const [arm, seed] = ["picked-masks", 0];
  const { calibration } = budget;
  return {
    ...{ file: cellFile(study, arm, seed), study, arm, seed, subject: subject.name },
    settings: { picks: picks.map(([name]) => name), calibration, seed, subject: subject.settings },
    needs: [...subject.needs, ...picks.map(([, mask]) => mask)],
    work: { passes: picks.length },
    async compute(lab) {
      const losses = await lossesOf(
        lab,
        subject,
        calibration,
        picks.map(([, mask]) => lab.result(mask).kept),
      );
      const found = picks.flatMap(([name], i) => (Number.isFinite(losses[i]) ? [[name, losses[i]!] as const] : []));
      return Object.fromEntries(found);
    },
  };
}

/** One loss a mask, by one session. */
async function lossesOf(
  lab: Lab,
  spec: SubjectSpec,
  examples: number,
  masks: readonly (readonly number[])[],
): Promise<number[]> {
  const { teacher, data } = await lab.subject(spec);
  const { model, tensors, process } = teacher;
  const settings = { seed: 0, examples, process, signal: lab.signal };
  const loss = await CalibrationLoss.compile(lab.engine, model, data, settings, tensors);
  try {
    const losses: number[] = [];
    for (const kept of masks) losses.push(await loss.lossOf(kept));
    return losses;
  } finally {
    await loss.release();
  }
}
