/** The block that the losses of random masks hang on most, and the two halves that it divides them into. */
import type { MaskLoss } from "tinyfusion";
import { meanOf } from "../statistics/mean.ts";

export interface DecisiveBlock {
  readonly block: number;
  /** The masks of lower mean loss: those that keep the block, or those that drop it. */
  readonly better: readonly MaskLoss[];
  readonly worse: readonly MaskLoss[];
  /** Whether the better half are those that keep it. */
  readonly keeps: boolean;
  /** Whether every loss of the better half is below every one of the other. */
  readonly divides: boolean;
}

/**
 * The block between whose keepers and droppers the mean losses differ most; of equal ones the first. Losses that are not
 * finite are left out; undefined if no block is kept by some of the masks and dropped by others.
 */
export function decisiveBlock(masks: readonly MaskLoss[]): DecisiveBlock | undefined {
  const finite = masks.filter(({ loss }) => Number.isFinite(loss));
  const blocks = [...new Set(finite.flatMap(({ kept }) => kept))].sort((a, b) => a - b);
  let widest = 0;
  let found: DecisiveBlock | undefined;
  for (const block of blocks) {
    const keepers = finite.filter(({ kept }) => kept.includes(block));
    const droppers = finite.filter(({ kept }) => !kept.includes(block));
    if (droppers.length === 0) continue;
    const difference = meanLoss(droppers) - meanLoss(keepers);
    if (Math.abs(difference) <= widest) continue;
    widest = Math.abs(difference);
    const keeps = difference > 0;
    const [better, worse] = keeps ? [keepers, droppers] : [droppers, keepers];
    const divides = largest(better) < smallest(worse);
    found = { block, better, worse, keeps, divides };
  }
  return found;
}

/** Of masks that are not empty. */
export const smallest = (masks: readonly MaskLoss[]): number => Math.min(...masks.map(({ loss }) => loss));
export const largest = (masks: readonly MaskLoss[]): number => Math.max(...masks.map(({ loss }) => loss));

const meanLoss = (masks: readonly MaskLoss[]): number => meanOf(masks.map(({ loss }) => loss)).mean;
