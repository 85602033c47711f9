/** The primary comparisons: tests that were fixed before running, each of the learned mask against one rival. */

import { listed } from "tinyfusion";
import type { Find } from "../cells/cell.ts";
import type { Arm } from "../definitions/study.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { holm } from "../statistics/holm.ts";
import { type Mean, meanOf } from "../statistics/mean.ts";
import { type SignFlipTest, signFlipTest } from "../statistics/sign-flip.ts";
import { commonSeeds, missingIn, pairedDifferences } from "./distances.ts";

/** Its hypothesis, fixed before running: the rival's mean FD-digits is the higher one. */
export interface PrimaryComparison {
  readonly rival: string;
  /** Undefined while there is no common seed. */
  readonly test?: SignFlipTest;
  /** What its planned pairs lack; absent if all have scores. Before, a p-value would invite to stop when it looks good. */
  readonly lacks?: string;
  /** How many different masks each arm has in the pairs; one mask is recovered and sampled again and again. */
  readonly masks: { readonly own: number; readonly rival: number };
  /** How near the two masks are, over the seeds that both have; absent while there is none. */
  readonly near?: Nearness;
  /** One-sided, corrected for all primary comparisons; undefined while one of them lacks something. */
  readonly corrected?: number;
}

/** Means over paired seeds. */
export interface Nearness {
  readonly blocks: number;
  readonly sharedBlocks: number;
  /** The rival's loss on held-out examples after recovery less that of the learned mask. */
  readonly heldOut: Mean;
}

/** A rival by the name it is shown with; its arm is absent while it is not chosen. */
export interface Rival {
  readonly name: string;
  readonly arm?: Arm<RecoveredResult> | undefined;
}

/** Tests `own` against each rival. */
export function primaryComparisons(
  own: Arm<RecoveredResult>,
  rivals: readonly Rival[],
  find: Find,
): PrimaryComparison[] {
  const found = rivals.map(({ name: rival, arm }): PrimaryComparison => {
    if (!arm) return { rival, lacks: "not chosen yet", masks: { own: 0, rival: 0 } };
    const seeds = commonSeeds([own, arm], find);
    const lacks = lacking(own, arm, find);
    return {
      ...{ rival, masks: { own: masksOf(own, seeds, find), rival: masksOf(arm, seeds, find) } },
      ...(lacks !== undefined && { lacks }),
      ...(seeds.length > 0 && {
        test: signFlipTest(pairedDifferences(own, arm, find, seeds)),
        near: nearness(own, arm, seeds, find),
      }),
    };
  });
  if (found.some(({ lacks }) => lacks !== undefined)) return found;
  const corrected = holm(found.map(({ test }) => test!.oneSided));
  return found.map((one, i) => ({ ...one, corrected: corrected[i]! }));
}

/** Cells that are not there, or else cells without scores. */
function lacking(own: Arm<RecoveredResult>, rival: Arm<RecoveredResult>, find: Find): string | undefined {
  const missing = missingIn(own, find) + missingIn(rival, find);
  const of = own.cells.length + rival.cells.length;
  if (missing > 0) return `${missing} of the ${of} cells of both are missing`;
  const without = [own, rival].flatMap(({ name, cells }) =>
    cells.filter((cell) => !find(cell)!.scores).map(({ seed }) => `${name} with seed ${seed}`),
  );
  return without.length > 0 ? `without scores, since they diverged: ${listed(without)}` : undefined;
}

function nearness(
  own: Arm<RecoveredResult>,
  rival: Arm<RecoveredResult>,
  seeds: readonly number[],
  find: Find,
): Nearness {
  const of = ({ cells }: Arm<RecoveredResult>, seed: number) => find(cells.find((cell) => cell.seed === seed)!)!;
  const pairs = seeds.map((seed) => [of(own, seed), of(rival, seed)] as const);
  const shared = pairs.map(([a, b]) => (a.kept ?? []).filter((block) => b.kept?.includes(block)).length);
  const losses = pairs.map(([a, b]) => (b.losses.heldOut ?? Number.NaN) - (a.losses.heldOut ?? Number.NaN));
  return { blocks: pairs[0]![0].blocks, sharedBlocks: meanOf(shared).mean, heldOut: meanOf(losses) };
}

function masksOf({ cells }: Arm<RecoveredResult>, seeds: readonly number[], find: Find): number {
  return new Set(cells.filter(({ seed }) => seeds.includes(seed)).map((cell) => String(find(cell)?.kept))).size;
}
