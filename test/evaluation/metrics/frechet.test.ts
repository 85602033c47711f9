import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32 } from "../../../src/array/ndarray.ts";
import { frechetDistance, type GaussianStats, gaussianStats } from "../../../src/evaluation/metrics/frechet.ts";
import { scatteredFeatures } from "./scattered-features.ts";

function diagonalGaussian(mean: readonly number[], variances: readonly number[]): GaussianStats {
  const d = mean.length;
  const covariance = new Float64Array(d * d);
  for (const [i, variance] of variances.entries()) covariance[i * d + i] = variance;
  return { mean: Float64Array.from(mean), covariance, count: 1000 };
}

describe("gaussianStats", () => {
  test("are the mean and the unbiased covariance", () => {
    const stats = gaussianStats(float32([1, 2, 3, 4, 5, 9], [3, 2]));
    expect([...stats.mean]).toEqual([3, 5]);
    expect([...stats.covariance]).toEqual([4, 7, 7, 13]);
    expect(stats.count).toBe(3);
  });

  test("do not lose the variance of features far from zero", () => {
    const stats = gaussianStats(float32([4096, 4097, 4098, 4099], [4, 1]));
    expect(stats.covariance[0]).toBeCloseTo(5 / 3, 12);
  });

  test("are the same over many blocks of rows as by the definition", () => {
    const [n, d] = [101, 3];
    const features = scatteredFeatures(n, d, 5);
    const { mean, covariance } = gaussianStats(features);
    let expected = 0;
    for (let i = 0; i < n; i++) expected += (features.data[i * d]! - mean[0]!) * (features.data[i * d + 2]! - mean[2]!);
    expect(covariance[2]).toBeCloseTo(expected / (n - 1), 13);
    expect(covariance[6]).toBe(covariance[2]);
  });

  test("need two rows of finite features", () => {
    expect(() => gaussianStats(float32([1, 2], [1, 2]))).toThrow(/at least 2 rows/);
    expect(() => gaussianStats(float32([1, 2, 3, Number.NaN], [2, 2]))).toThrow(/feature 1 of 2 is not finite/);
    expect(() => gaussianStats(float32([1, 2]))).toThrow(InputError);
  });
});

describe("the Fréchet distance", () => {
  const a = gaussianStats(scatteredFeatures(60, 16, 1));
  const b = gaussianStats(scatteredFeatures(50, 16, 2, 1.5));

  test("of diagonal Gaussians is the sum of (μ₁ − μ₂)² + (σ₁ − σ₂)²", () => {
    const result = frechetDistance(diagonalGaussian([0, 1, 5], [4, 9, 0]), diagonalGaussian([1, 1, 2], [1, 16, 25]));
    expect(result.meanTerm).toBe(10);
    expect(result.distance).toBeCloseTo(10 + 1 + 1 + 25, 12);
    expect(result.clippedEigenvalues).toBe(0);
  });

  test("of one Gaussian from itself is zero", () => {
    expect(Math.abs(frechetDistance(a, a).distance)).toBeLessThan(1e-12);
  });

  test("is the same both ways round", () => {
    expect(frechetDistance(a, b).distance).toBeGreaterThan(1);
    expect(frechetDistance(a, b).distance).toBeCloseTo(frechetDistance(b, a).distance, 11);
  });

  test("does not change when both sides' coordinates are permuted", () => {
    const order = [3, 0, 15, 7, 1, 2, 14, 8, 4, 5, 6, 9, 13, 12, 11, 10];
    const permuted = ({ mean, covariance, count }: GaussianStats): GaussianStats => ({
      mean: mean.map((_, i) => mean[order[i]!]!),
      covariance: covariance.map((_, at) => covariance[order[Math.floor(at / 16)]! * 16 + order[at % 16]!]!),
      count,
    });
    expect(frechetDistance(permuted(a), permuted(b)).distance).toBeCloseTo(frechetDistance(a, b).distance, 11);
  });

  test("grows by the square of a shift of the mean", () => {
    const shifted = { ...a, mean: a.mean.map((value) => value + 0.5) };
    expect(frechetDistance(a, shifted).distance).toBeCloseTo(16 * 0.25, 11);
  });

  test("is right with fewer rows than dimensions, where the covariances are singular", () => {
    const features = scatteredFeatures(6, 16, 3);
    const few = gaussianStats(features);
    expect(Math.abs(frechetDistance(few, few).distance)).toBeLessThan(1e-6);
    const doubled = gaussianStats(
      float32(
        features.data.map((value) => 2 * value),
        [6, 16],
      ),
    );
    const trace = few.covariance.reduce((sum, value, at) => (at % 17 === 0 ? sum + value : sum), 0);
    const { distance, meanTerm, clippedEigenvalues } = frechetDistance(few, doubled);
    expect(distance - meanTerm).toBeCloseTo(trace, 6); // tr Σ + tr 4Σ − 2 tr 2Σ
    expect(Math.abs(clippedEigenvalues)).toBeLessThan(1e-12);
    expect(frechetDistance(few, b).distance).toBeCloseTo(frechetDistance(b, few).distance, 6);
  });

  test("reports the negative eigenvalues of a covariance that is none", () => {
    const broken = diagonalGaussian([0, 0], [1, -4]);
    expect(frechetDistance(diagonalGaussian([0, 0], [1, 1]), broken).clippedEigenvalues).toBeCloseTo(-4, 12);
  });

  test("is refused between features of different dimensions", () => {
    expect(() => frechetDistance(a, diagonalGaussian([0], [1]))).toThrow(/dimension 16 .* with 1/);
  });
});
