/** Fréchet distance between Gaussians fitted to features: the FID of Heusel et al. 2017 when the features are Inception's. */
import { InputError } from "../../array/input-error.ts";
import {
  addGram,
  choleskySemidefinite,
  matmul,
  mirrorLower,
  symmetricEigenvalues,
  transpose,
} from "../../array/linalg.ts";
import type { NDArray } from "../../array/ndarray.ts";

/** A Gaussian fitted to `count` features of dimension d. */
export interface GaussianStats {
  /** [d] */
  readonly mean: Float64Array;
  /** [d, d], unbiased (divided by count − 1) */
  readonly covariance: Float64Array;
  readonly count: number;
}

/** A Fréchet distance and what it is made of. */
export interface FrechetDistance {
  /** |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr √(Σ₁Σ₂); rounding may leave it a little below 0. */
  readonly distance: number;
  /** |μ₁ − μ₂|² */
  readonly meanTerm: number;
  /** The sum of the negative eigenvalues that were set to 0: 0 or below, and rounding only if the covariances are sound. */
  readonly clippedEigenvalues: number;
}

/**
 * Mean and unbiased covariance of `features` [n, d], accumulated in float64.
 * @throws InputError if there are fewer than two rows or a feature is not finite.
 */
export function gaussianStats(features: NDArray<"float32">): GaussianStats {
  if (features.shape.length !== 2) throw new InputError(`features are [n, d], got the shape [${features.shape}]`);
  const [n, d] = features.shape as [number, number];
  if (n < 2) throw new InputError(`a covariance needs at least 2 rows of features, got ${n}`);
  const mean = columnMeans(features.data, n, d);
  const covariance = new Float64Array(d * d);
  const blockRows = 32;
  for (let start = 0; start < n; start += blockRows) {
    const rows = Math.min(blockRows, n - start);
    const centred = Float64Array.from(features.data.subarray(start * d, (start + rows) * d));
    for (let i = 0; i < centred.length; i++) centred[i]! -= mean[i % d]!;
    addGram(covariance, centred, rows, d);
  }
  for (let i = 0; i < covariance.length; i++) covariance[i]! /= n - 1;
  mirrorLower(covariance, d);
  return { mean, covariance, count: n };
}

/**
 * Fréchet distance of two Gaussians (Dowson & Landau 1982). With Σ₁ = L·Lᵀ the eigenvalues of Σ₁Σ₂ are those of the
 * symmetric Lᵀ·Σ₂·L (and zeros), so no square root of an unsymmetric matrix is taken and rank-deficient covariances
 * (fewer rows than dimensions) need no offset on the diagonal.
 * @throws InputError if the dimensions differ.
 */
export function frechetDistance(a: GaussianStats, b: GaussianStats): FrechetDistance {
  const d = a.mean.length;
  if (b.mean.length !== d) {
    throw new InputError(`Fréchet distance: features of dimension ${d} cannot be compared with ${b.mean.length}`);
  }
  let meanTerm = 0;
  let traces = 0;
  for (let i = 0; i < d; i++) {
    meanTerm += (a.mean[i]! - b.mean[i]!) ** 2;
    traces += a.covariance[i * d + i]! + b.covariance[i * d + i]!;
  }
  const { factor, rank } = choleskySemidefinite(a.covariance, d);
  const product = matmul(b.covariance, factor, d, d, rank);
  const symmetric = matmul(transpose(factor, d, rank), product, rank, d, rank);
  let rootTrace = 0;
  let clippedEigenvalues = 0;
  for (const eigenvalue of symmetricEigenvalues(symmetric, rank)) {
    if (eigenvalue < 0) clippedEigenvalues += eigenvalue;
    else rootTrace += Math.sqrt(eigenvalue);
  }
  return { distance: meanTerm + traces - 2 * rootTrace, meanTerm, clippedEigenvalues };
}

function columnMeans(data: Float32Array, n: number, d: number): Float64Array {
  const mean = new Float64Array(d);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < d; j++) mean[j]! += data[i * d + j]!;
  }
  const wrong = mean.findIndex((sum) => !Number.isFinite(sum));
  if (wrong >= 0) throw new InputError(`feature ${wrong} of ${d} is not finite in some row`);
  return mean.map((sum) => sum / n);
}
