/** How sure a statistic of features is: a standard error by leaving rows out. */

import { InputError } from "../../array/input-error.ts";
import { meanOf } from "../../array/reduce.ts";

/** What leaving out a tenth of the rows, ten times, says about a statistic. */
export interface Jackknife {
  /** The statistic of all rows. */
  readonly estimate: number;
  /** √((g − 1)/g · Σ (θ₍ᵢ₎ − θ̄)²) over g = 10 groups */
  readonly standardError: number;
}

/**
 * Groups of a jackknife. Row i belongs to group i modulo 10, so that rows sorted by class are left out evenly; where
 * classes come in turn, sort rows by class first, or a group may be one class.
 */
export const JACKKNIFE_GROUPS = 10;

/** Each group needs two rows. */
export const FEWEST_JACKKNIFE_ROWS = 2 * JACKKNIFE_GROUPS;

/**
 * Delete-a-tenth jackknife (Efron & Tibshirani 1993, chapter 11) of a statistic: of all rows, and of all but each group.
 * @throws RangeError unless there is a value for each of the groups.
 */
export function jackknife(estimate: number, leftOut: readonly number[]): Jackknife {
  const groups = leftOut.length;
  if (groups !== JACKKNIFE_GROUPS) {
    throw new RangeError(`jackknife: expected ${JACKKNIFE_GROUPS} values with a group left out, got ${groups}`);
  }
  const mean = meanOf(leftOut);
  const squares = leftOut.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { estimate, standardError: Math.sqrt(((groups - 1) / groups) * squares) };
}

/** @throws InputError if a jackknife cannot be made of `n` rows. */
export function requireJackknifeRows(n: number): void {
  if (n >= FEWEST_JACKKNIFE_ROWS) return;
  throw new InputError(
    `a jackknife over ${JACKKNIFE_GROUPS} groups needs at least ${FEWEST_JACKKNIFE_ROWS} rows, got ${n}`,
  );
}
