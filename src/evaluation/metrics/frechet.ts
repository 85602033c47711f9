/** Fréchet distance between Gaussians fitted to features: the FID of Heusel et al. 2017 when the features are Inception's. */
import { InputError } from "../../array/input-error.ts";
import { symmetricEigenvalues } from "../../array/linalg.ts";
import type { Gaussian, GroupedStats } from "./gaussian-stats.ts";
import { type Jackknife, jackknife, requireJackknifeRows } from "./jackknife.ts";
import { type Matrix, type MetricKernels, matrix, product } from "./kernels.ts";
import { semidefiniteFactor } from "./semidefinite-factor.ts";

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
