/** Improved precision and recall (Kynkäänniemi et al. 2019): are samples inside the real data's manifold, and the reverse? */

import { InputError } from "../../array/input-error.ts";
import { permutation } from "../../array/random.ts";
import { meanOf } from "../../array/reduce.ts";
import { type DistanceRow, forEachDistanceRow } from "./distances.ts";
import { commonWidth, type Features, rowsAndWidth, rowsOf } from "./feature-rows.ts";
import type { MetricKernels } from "./kernels.ts";

/** Shares in [0, 1]. */
export interface PrecisionRecall {
  /** Share of generated features inside a ball of the reference manifold: fidelity. */
  readonly precision: number;
  /** Share of reference features inside a ball of the generated manifold: diversity. */
  readonly recall: number;
}

export interface ManifoldOptions {
  /** k: 3 by default. */
  readonly neighbours?: number;
}

/**
 * Precision and recall of `generated` [m, d] against `reference` [n, d]. A manifold is the union of balls around its
 * features, each as large as the distance to the k-th nearest other feature (eq. 1 and 2).
 * @throws InputError if the dimensions differ or a set has no more than k rows.
 */
export async function precisionRecall(
  kernels: MetricKernels,
  reference: Features,
  generated: Features,
  { neighbours = 3 }: ManifoldOptions = {},
): Promise<PrecisionRecall> {
  commonWidth(reference, generated);
  const real = await squaredRadii(kernels, reference, neighbours);
  const own = await squaredRadii(kernels, generated, neighbours);
  return {
    precision: await shareInside(kernels, generated, reference, real),
    recall: await shareInside(kernels, reference, generated, own),
  };
}

/**
 * Squared distance [n] from each row of `features` [n, d] to its `neighbours`-th nearest other row; equal rows count.
 * @throws InputError if there are not more than `neighbours` rows.
 */
export async function squaredRadii(
  kernels: MetricKernels,
  features: Features,
  neighbours: number,
): Promise<Float64Array> {
  const [n] = rowsAndWidth(features);
  if (!(Number.isInteger(neighbours) && neighbours > 0 && n > neighbours)) {
    throw new InputError(`${neighbours} nearest neighbours need more rows of features than that, at least 2, got ${n}`);
  }
  const radii = new Float64Array(n);
  const smallest = new Float64Array(neighbours);
  await forEachDistanceRow(kernels, features, features, (row) => {
    radii[row.index] = kthSmallest(row, smallest);
  });
  return radii;
}

/**
 * Share of the rows of `points` [m, d] that lie in a ball around a row of `centres` [n, d] with `radii` [n] (squared).
 * @throws InputError if the dimensions differ or there is no point.
 */
export async function shareInside(
  kernels: MetricKernels,
  points: Features,
  centres: Features,
  radii: Float64Array,
): Promise<number> {
  const [m] = rowsAndWidth(points);
  if (m === 0) throw new InputError("precision and recall need at least 1 row of features on each side");
  let inside = 0;
  await forEachDistanceRow(kernels, points, centres, (row) => {
    if (isInside(row, radii)) inside++;
  });
  return inside / m;
}

/** A mean over subsamples, and its standard error. */
export interface SubsampledShare {
  readonly mean: number;
  readonly standardError: number;
}

export interface SubsampledPrecisionRecall {
  readonly precision: SubsampledShare;
  readonly recall: SubsampledShare;
  /** Rows of one subsample. Both numbers depend on them: compare only equal ones. */
  readonly rows: { readonly reference: number; readonly generated: number };
}

const SUBSAMPLES = 10;

/**
 * Precision and recall of ten disjoint random subsamples of `generated` against as many of `reference`. (A statistic of
 * neighbours cannot be jackknifed: leaving rows out makes every ball larger.)
 * @throws InputError if the dimensions differ or a tenth of a set has no more than k rows.
 */
export async function subsampledPrecisionRecall(
  kernels: MetricKernels,
  reference: Features,
  generated: Features,
  { neighbours = 3 }: ManifoldOptions = {},
): Promise<SubsampledPrecisionRecall> {
  const [real, sampled] = [reference, generated].map((features, index) => {
    const [n] = rowsAndWidth(features);
    const order = permutation({ seed: 0, purpose: "subsample", step: 0, index }, n);
    const size = Math.floor(n / SUBSAMPLES);
    return { size, part: (i: number) => rowsOf(features, order.subarray(i * size, (i + 1) * size)) };
  }) as [Subsamples, Subsamples];
  const found: PrecisionRecall[] = [];
  for (let i = 0; i < SUBSAMPLES; i++) {
    found.push(await precisionRecall(kernels, real.part(i), sampled.part(i), { neighbours }));
  }
  return {
    precision: shareOf(found.map(({ precision }) => precision)),
    recall: shareOf(found.map(({ recall }) => recall)),
    rows: { reference: real.size, generated: sampled.size },
  };
}

interface Subsamples {
  readonly size: number;
  part(i: number): Features;
}

function shareOf(values: readonly number[]): SubsampledShare {
  const count = values.length;
  const mean = meanOf(values);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, standardError: Math.sqrt(squares / (count - 1) / count) };
}

/** The k-th smallest distance of a row to others than itself, exact; `smallest` [k] is overwritten. */
function kthSmallest({ index, lower, upper, exact }: DistanceRow, smallest: Float64Array): number {
  const n = lower.length;
  const last = smallest.length - 1;
  smallest.fill(Number.POSITIVE_INFINITY);
  for (let j = 0; j < n; j++) {
    if (upper[j]! < smallest[last]! && j !== index) insertAscending(smallest, upper[j]!);
  }
  const limit = smallest[last]!; // k rows are at most this far, so the k-th is
  smallest.fill(Number.POSITIVE_INFINITY);
  for (let j = 0; j < n; j++) if (lower[j]! <= limit && j !== index) insertAscending(smallest, exact(j));
  return smallest[last]!;
}

/** Inserts `value` among the smallest, which ascend, if it is smaller than the last. */
function insertAscending(smallest: Float64Array, value: number): void {
  let place = smallest.length - 1;
  if (!(value < smallest[place]!)) return;
  for (; place > 0 && smallest[place - 1]! > value; place--) smallest[place] = smallest[place - 1]!;
  smallest[place] = value;
}

function isInside({ lower, upper, exact }: DistanceRow, radii: Float64Array): boolean {
  for (let j = 0; j < upper.length; j++) if (upper[j]! <= radii[j]!) return true;
  for (let j = 0; j < lower.length; j++) if (lower[j]! <= radii[j]! && exact(j) <= radii[j]!) return true;
  return false;
}
