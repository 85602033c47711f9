/** Comparisons of two arms over the seeds that both have. */
import type { Find } from "../cells/cell.ts";
import type { Arm } from "../definitions/study.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { holm } from "./holm.ts";
import { type SignFlipTest, signFlipTest } from "./sign-flip.ts";

/** FD-digits of `rival` less that of `own` for each seed that both have: above 0 where `own` is better. */
export function pairedDifferences(own: Arm<RecoveredResult>, rival: Arm<RecoveredResult>, find: Find): number[] {
  return own.cells.flatMap((cell) => {
    const other = rival.cells.find(({ seed }) => seed === cell.seed);
    const [a, b] = [find(cell)?.scores?.distance, other && find(other)?.scores?.distance];
    return a === undefined || b === undefined ? [] : [b - a];
  });
}

/** A primary comparison. Its hypothesis, fixed before running: the rival's mean FD-digits is the higher one. */
export interface PrimaryComparison {
  readonly rival: string;
  /** Undefined while there is no common seed. */
  readonly test?: SignFlipTest;
  /** Whether all planned cells are there: before, a p-value would invite to stop when it looks good. */
  readonly isComplete: boolean;
  /** One-sided, corrected for all primary comparisons; undefined while one of them is not complete. */
  readonly corrected?: number;
}

/** Tests `own` against each rival; one that is not known yet is named only. */
export function primaryComparisons(
  own: Arm<RecoveredResult>,
  rivals: readonly { readonly name: string; readonly arm?: Arm<RecoveredResult> | undefined }[],
  find: Find,
): PrimaryComparison[] {
  const isThere = ({ cells }: Arm<RecoveredResult>) => cells.every((cell) => find(cell) !== undefined);
  const found = rivals.map(({ name, arm }): PrimaryComparison => {
    const differences = arm ? pairedDifferences(own, arm, find) : [];
    const isComplete = differences.length > 0 && arm !== undefined && isThere(own) && isThere(arm);
    return { rival: name, isComplete, ...(differences.length > 0 && { test: signFlipTest(differences) }) };
  });
  if (!found.every(({ isComplete }) => isComplete)) return found;
  const corrected = holm(found.map(({ test }) => test!.oneSided));
  return found.map((one, i) => ({ ...one, corrected: corrected[i]! }));
}
