/** Features as matrices: their shape, some of their rows, and standard errors by leaving rows out. */
import { createHash } from "node:crypto";
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { permutation } from "../../array/random.ts";
import { meanOf } from "../../array/reduce.ts";

/** [n, d]: a network's features of n images. */
export type Features = NDArray<"float32">;

/** The shape [n, d] of features. @throws InputError if they have another number of axes. */
export function rowsAndWidth(features: Features): readonly [n: number, d: number] {
  if (features.shape.length !== 2) throw new InputError(`features are [n, d], got the shape [${features.shape}]`);
  return features.shape as readonly number[] as readonly [number, number];
}

/** The common width of two sets of features. @throws InputError if they differ in it. */
export function commonWidth(a: Features, b: Features): number {
  const [, width] = rowsAndWidth(a);
  const [, other] = rowsAndWidth(b);
  if (width !== other) throw new InputError(`features of dimension ${width} cannot be compared with ${other}`);
  return width;
}

/** At most `count` rows of a set of `n`, random ones that are the same for each `purpose` and `step`, ascending. */
export const someRows = (n: number, count: number, purpose: string, step = 0): Int32Array =>
  permutation({ seed: 0, purpose, step, index: 0 }, n).slice(0, count).sort();

/** The rows of these numbers, copied, in their order. */
export function rowsOf(features: Features, rows: Int32Array): Features {
  const [, d] = rowsAndWidth(features);
  const data = new Float32Array(rows.length * d);
  rows.forEach((row, i) => {
    data.set(features.data.subarray(row * d, (row + 1) * d), i * d);
  });
  return new NDArray("float32", [rows.length, d], data);
}

/** How many rows of [n, d] differ from each other in any bit. */
export function distinctRows(features: Features): number {
  const [n, d] = rowsAndWidth(features);
  const { buffer, byteOffset } = features.data;
  const seen = new Set<string>();
  for (let row = 0; row < n; row++) {
    seen.add(
      createHash("sha1")
        .update(new Uint8Array(buffer, byteOffset + 4 * row * d, 4 * d))
        .digest("base64"),
    );
  }
  return seen.size;
}

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
