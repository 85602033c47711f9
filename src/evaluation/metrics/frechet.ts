/** Fréchet distance between Gaussians fitted to features, the FID of Heusel et al. 2017 when the features are Inception's; and FID∞, without its bias. */
import { InputError } from "../../array/input-error.ts";
import { symmetricEigenvalues } from "../../array/linalg.ts";
import { permutation } from "../../array/random.ts";
import { meanOf } from "../../array/reduce.ts";
import {
  type Features,
  type Jackknife,
  jackknife,
  requireJackknifeRows,
  rowsAndWidth,
  rowsOf,
} from "./feature-rows.ts";
import { type Gaussian, GaussianAccumulator, type GaussianStats, type GroupedStats } from "./gaussian-stats.ts";
import { blocksOf, type Matrix, type MetricKernels, matrix, product, semidefiniteFactor } from "./kernels.ts";

/** A Fréchet distance and what it is made of. */
export interface FrechetDistance {
  /** |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr √(Σ₁Σ₂); rounding may leave it a little below 0. */
  readonly distance: number;
  /** |μ₁ − μ₂|² */
  readonly meanTerm: number;
  /** The sum of the negative eigenvalues that were set to 0: 0 or below, and rounding only if the covariances are sound. */
  readonly clippedEigenvalues: number;
}

/** The distance to one Gaussian, whose factor is known. @throws InputError if the dimensions differ. */
export type FrechetTo = (other: Gaussian) => Promise<FrechetDistance>;

/** Fréchet distance of two Gaussians, as {@link frechetTo} says. @throws InputError if the dimensions differ. */
export async function frechetDistance(kernels: MetricKernels, a: Gaussian, b: Gaussian): Promise<FrechetDistance> {
  requireSameDimension(a, b); // before the work
  return (await frechetTo(kernels, a))(b);
}

/**
 * Fréchet distances to one Gaussian (Dowson & Landau 1982; eq. 6 of Heusel et al. 2017). With Σ₁ = L·Lᵀ the eigenvalues
 * of Σ₁Σ₂ are those of the symmetric Lᵀ·Σ₂·L (and zeros), so no square root of an unsymmetric matrix is taken and
 * rank-deficient covariances (fewer rows than dimensions) need no offset on the diagonal.
 */
export async function frechetTo(kernels: MetricKernels, reference: Gaussian): Promise<FrechetTo> {
  const factor = await semidefiniteFactor(kernels, reference.covariance, reference.mean.length);
  return async (other) => {
    requireSameDimension(reference, other);
    const d = reference.mean.length;
    let meanTerm = 0;
    let traces = 0;
    for (let i = 0; i < d; i++) {
      meanTerm += (reference.mean[i]! - other.mean[i]!) ** 2;
      traces += reference.covariance[i * d + i]! + other.covariance[i * d + i]!;
    }
    const { rootTrace, clippedEigenvalues } = await rootTraceOf(kernels, factor, other.covariance);
    return { distance: meanTerm + traces - 2 * rootTrace, meanTerm, clippedEigenvalues };
  };
}

/**
 * The distance of `grouped` features with its standard error; no sum over features is made again.
 * @throws InputError if the dimensions differ or a group has fewer than two rows.
 */
export async function frechetJackknife(
  distanceTo: FrechetTo,
  grouped: GroupedStats,
): Promise<Jackknife & Pick<FrechetDistance, "clippedEigenvalues">> {
  requireJackknifeRows(grouped.all.count);
  const { distance, clippedEigenvalues } = await distanceTo(grouped.all);
  const leftOut: number[] = [];
  for (let group = 0; group < grouped.groups; group++) {
    leftOut.push((await distanceTo(grouped.without(group))).distance);
  }
  return { ...jackknife(distance, leftOut), clippedEigenvalues };
}

function requireSameDimension(a: Gaussian, b: Gaussian): void {
  if (a.mean.length === b.mean.length) return;
  throw new InputError(
    `Fréchet distance: features of dimension ${a.mean.length} cannot be compared with ${b.mean.length}`,
  );
}

/** tr √(Lᵀ·Σ·L), and the sum of the negative eigenvalues under the root, which count as 0. */
async function rootTraceOf(
  kernels: MetricKernels,
  factor: Matrix,
  covariance: Float64Array,
): Promise<{ rootTrace: number; clippedEigenvalues: number }> {
  const [d, rank] = factor.shape as readonly number[] as readonly [number, number];
  let [rootTrace, clippedEigenvalues] = [0, 0];
  if (rank === 0) return { rootTrace, clippedEigenvalues };
  const right = await product(kernels, matrix(covariance, d, d), factor);
  const symmetric = await product(kernels, factor, right, { transposeA: true });
  for (const eigenvalue of symmetricEigenvalues(symmetric.data, rank)) {
    if (eigenvalue < 0) clippedEigenvalues += eigenvalue;
    else rootTrace += Math.sqrt(eigenvalue);
  }
  return { rootTrace, clippedEigenvalues };
}

export interface FrechetInfinityOptions {
  /** Sample counts that the line is fitted through, evenly spaced up to all samples: 15 as in the paper. */
  readonly points?: number;
  /** The smallest of them: a tenth of the samples by default, the paper's 5,000 for 50,000. */
  readonly smallest?: number;
  /** Of the draws of the subsets: 0 by default. */
  readonly seed?: number;
}

export interface FrechetInfinity {
  /** The line's value at 1/N = 0. */
  readonly distance: number;
  /** The line's rise over 1/N: the bias of N samples is about slope/N. */
  readonly slope: number;
  readonly points: readonly { readonly count: number; readonly distance: number }[];
}

/**
 * Fits FD_N ≈ FD∞ + slope/N (section 3 of the paper, with plain random subsets) to the distances of random subsets of
 * `features` [n, d]. The bias is linear in 1/N only where N is well above d.
 * @throws InputError unless there are at least 2 points and 2 ≤ smallest < n.
 */
export async function frechetInfinity(
  kernels: MetricKernels,
  distanceTo: FrechetTo,
  features: Features,
  options: FrechetInfinityOptions = {},
): Promise<FrechetInfinity> {
  const [n] = rowsAndWidth(features);
  const { points = 15, smallest = Math.max(2, Math.floor(n / 10)), seed = 0 } = options;
  if (!(Number.isInteger(points) && points >= 2)) throw new InputError(`FD∞: a line needs 2 points, got ${points}`);
  if (!(Number.isInteger(smallest) && smallest >= 2 && smallest < n)) {
    throw new InputError(`FD∞: expected a smallest subset of 2 to ${n - 1} of ${n} samples, got ${smallest}`);
  }
  const found: { count: number; distance: number }[] = [];
  for (let step = 0; step < points; step++) {
    const count = Math.round(smallest + ((n - smallest) * step) / (points - 1));
    const order = permutation({ seed, purpose: "frechet infinity", step, index: 0 }, n);
    const stats = await statsOfRows(kernels, features, order.subarray(0, count));
    found.push({ count, distance: (await distanceTo(stats)).distance });
  }
  return { ...fittedLine(found), points: found };
}

/** Statistics of some rows, some at a time: a copy of all could be as large as the features. */
async function statsOfRows(kernels: MetricKernels, features: Features, rows: Int32Array): Promise<GaussianStats> {
  const accumulator = new GaussianAccumulator(kernels, rowsAndWidth(features)[1]);
  for (const { start, end } of blocksOf(rows.length, 1000)) {
    await accumulator.add(rowsOf(features, rows.subarray(start, end)));
  }
  return (await accumulator.finish()).all;
}

/** Ordinary least squares of the distance over 1/count. */
function fittedLine(points: FrechetInfinity["points"]): { distance: number; slope: number } {
  const centreX = meanOf(points.map(({ count }) => 1 / count));
  const centreY = meanOf(points.map(({ distance }) => distance));
  let [along, across] = [0, 0];
  for (const { count, distance } of points) {
    along += (1 / count - centreX) ** 2;
    across += (1 / count - centreX) * (distance - centreY);
  }
  const slope = across / along;
  return { distance: centreY - slope * centreX, slope };
}
