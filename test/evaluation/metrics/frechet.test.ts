/** Fréchet distances of Gaussians that are known, and their limit for endless samples. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { jackknife, rowsOf } from "../../../src/evaluation/metrics/feature-rows.ts";
import {
  frechetDistance,
  frechetInfinity,
  frechetJackknife,
  frechetTo,
} from "../../../src/evaluation/metrics/frechet.ts";
import { type Gaussian, gaussianStats, groupedStats } from "../../../src/evaluation/metrics/gaussian-stats.ts";
import { matrix, openMetricKernels, product } from "../../../src/evaluation/metrics/kernels.ts";
import { normalFeatures, scatteredFeatures } from "./scattered-features.ts";

const kernels = openMetricKernels(cpuEngine({ threads: 1 }));
afterAll(() => kernels.release());

function diagonalGaussian(mean: readonly number[], variances: readonly number[]): Gaussian {
  const d = mean.length;
  const covariance = new Float64Array(d * d);
  for (const [i, variance] of variances.entries()) covariance[i * d + i] = variance;
  return { mean: Float64Array.from(mean), covariance };
}

/** The same matrix in other axes: H·M·H with the reflection H = 1 − 2uuᵀ/|u|². */
async function rotated(diagonal: Gaussian, u: Float32Array): Promise<Gaussian> {
  const d = u.length;
  const norm = u.reduce((sum, x) => sum + x * x, 0);
  const reflection = matrix(
    Float64Array.from({ length: d * d }, (_, at) => {
      const [i, j] = [Math.floor(at / d), at % d];
      return (i === j ? 1 : 0) - (2 * u[i]! * u[j]!) / norm;
    }),
    d,
    d,
  );
  const right = await product(kernels, matrix(diagonal.covariance, d, d), reflection);
  return { mean: diagonal.mean, covariance: (await product(kernels, reflection, right)).data };
}

const distance = async (a: Gaussian, b: Gaussian) => (await frechetDistance(kernels, a, b)).distance;

describe("the Fréchet distance", () => {
  let [a, b] = [diagonalGaussian([0], [1]), diagonalGaussian([0], [1])];
  beforeAll(async () => {
    a = await gaussianStats(kernels, scatteredFeatures(60, 16, 1));
    b = await gaussianStats(kernels, scatteredFeatures(50, 16, 2, 1.5));
  });

  test("of diagonal Gaussians is the sum of (μ₁ − μ₂)² + (σ₁ − σ₂)²", async () => {
    const [left, right] = [diagonalGaussian([0, 1, 5], [4, 9, 0]), diagonalGaussian([1, 1, 2], [1, 16, 25])];
    const result = await frechetDistance(kernels, left, right);
    expect(result.meanTerm).toBe(10);
    expect(result.distance).toBeCloseTo(10 + 1 + 1 + 25, 12);
    expect(result.clippedEigenvalues).toBe(0);
  });

  test("of covariances with the same axes is the sum of (σ₁ − σ₂)², over panels too", async () => {
    const d = 150;
    const u = scatteredFeatures(1, d, 3).data;
    const zero = new Array<number>(d).fill(0);
    const deviations = zero.map((_, i) => [0.1 + i / 10, 5 + Math.sin(i)] as const);
    const [left, right] = [0, 1].map((side) =>
      diagonalGaussian(
        zero,
        deviations.map((pair) => pair[side]! ** 2),
      ),
    ) as [Gaussian, Gaussian];
    const expected = deviations.reduce((sum, [x, y]) => sum + (x - y) ** 2, 0);
    expect((await distance(await rotated(left, u), await rotated(right, u))) / expected).toBeCloseTo(1, 11);
  });

  test("of one Gaussian from itself is zero", async () => {
    expect(Math.abs(await distance(a, a))).toBeLessThan(1e-12);
  });

  test("is the same both ways round", async () => {
    expect(await distance(a, b)).toBeGreaterThan(1);
    expect(await distance(a, b)).toBeCloseTo(await distance(b, a), 11);
  });

  test("does not change when both sides' coordinates are permuted", async () => {
    const order = [3, 0, 15, 7, 1, 2, 14, 8, 4, 5, 6, 9, 13, 12, 11, 10];
    const permuted = ({ mean, covariance }: Gaussian): Gaussian => ({
      mean: mean.map((_, i) => mean[order[i]!]!),
      covariance: covariance.map((_, at) => covariance[order[Math.floor(at / 16)]! * 16 + order[at % 16]!]!),
    });
    expect(await distance(permuted(a), permuted(b))).toBeCloseTo(await distance(a, b), 11);
  });

  test("grows by the square of a shift of the mean", async () => {
    const shifted = { ...a, mean: a.mean.map((value) => value + 0.5) };
    expect(await distance(a, shifted)).toBeCloseTo(16 * 0.25, 11);
  });

  test("is right with fewer rows than dimensions, where the covariances are singular", async () => {
    const features = scatteredFeatures(6, 16, 3);
    const few = await gaussianStats(kernels, features);
    expect(Math.abs(await distance(few, few))).toBeLessThan(1e-6);
    const twice = features.data.map((value) => 2 * value);
    const doubled = await gaussianStats(kernels, float32(twice, [6, 16]));
    const trace = few.covariance.reduce((sum, value, at) => (at % 17 === 0 ? sum + value : sum), 0);
    const result = await frechetDistance(kernels, few, doubled);
    expect(result.distance - result.meanTerm).toBeCloseTo(trace, 6); // tr Σ + tr 4Σ − 2 tr 2Σ
    expect(Math.abs(result.clippedEigenvalues)).toBeLessThan(1e-12);
    expect(await distance(few, b)).toBeCloseTo(await distance(b, few), 6);
  });

  test("from a Gaussian without any spread is the other's trace", async () => {
    expect(await distance(diagonalGaussian([0, 0], [0, 0]), diagonalGaussian([0, 3], [1, 4]))).toBe(14);
  });

  test("reports the negative eigenvalues of a covariance that is none", async () => {
    const broken = diagonalGaussian([0, 0], [1, -4]);
    const { clippedEigenvalues } = await frechetDistance(kernels, diagonalGaussian([0, 0], [1, 1]), broken);
    expect(clippedEigenvalues).toBeCloseTo(-4, 12);
  });

  test("is refused between features of different dimensions", async () => {
    await expect(distance(a, diagonalGaussian([0], [1]))).rejects.toThrow(/dimension 16 .* with 1/);
    await expect((await frechetTo(kernels, a))(diagonalGaussian([0], [1]))).rejects.toThrow(/dimension 16 .* with 1/);
  });

  test("has the standard error of leaving rows out by hand", async () => {
    const features = scatteredFeatures(203, 6, 9, 0.2);
    const other = await gaussianStats(kernels, scatteredFeatures(300, 6, 4));
    const found = await frechetJackknife(await frechetTo(kernels, other), await groupedStats(kernels, features, 10));
    const leftOut: number[] = [];
    for (let group = 0; group < 10; group++) {
      const rows = Int32Array.from(Array.from({ length: 203 }, (_, i) => i).filter((i) => i % 10 !== group));
      leftOut.push(await distance(other, await gaussianStats(kernels, rowsOf(features, rows))));
    }
    const expected = jackknife(await distance(other, await gaussianStats(kernels, features)), leftOut);
    expect(found.estimate).toBeCloseTo(expected.estimate, 12);
    expect(found.standardError).toBeCloseTo(expected.standardError, 11);
    expect(found.standardError).toBeGreaterThan(1e-3);
  });

  test("has no standard error for fewer than 20 rows", async () => {
    const grouped = await groupedStats(kernels, scatteredFeatures(19, 16, 1), 10);
    await expect(frechetJackknife(await frechetTo(kernels, a), grouped)).rejects.toThrow(/at least 20 rows, got 19/);
  });
});

const d = 16;
/** The true standard Gaussian, not one fitted to samples. */
const standard = {
  mean: new Float64Array(d),
  covariance: Float64Array.from({ length: d * d }, (_, at) => (at % (d + 1) === 0 ? 1 : 0)),
};

describe("FD∞", () => {
  test("is near the true distance where the distance of all samples is biased", async () => {
    const [n, mean, deviation] = [2000, 0.05, 1.1];
    const truth = d * (mean ** 2 + (deviation - 1) ** 2);
    const errors: { plain: number; infinite: number }[] = [];
    for (let seed = 0; seed < 5; seed++) {
      const features = normalFeatures(n, d, seed, mean, deviation);
      const found = await frechetInfinity(kernels, await frechetTo(kernels, standard), features);
      expect(found.points).toHaveLength(15);
      expect(found.points[0]!.count).toBe(200);
      expect(found.points.at(-1)!.count).toBe(n);
      expect(found.slope).toBeGreaterThan(0);
      errors.push({ plain: found.points.at(-1)!.distance - truth, infinite: found.distance - truth });
    }
    const mean5 = (pick: "plain" | "infinite") => errors.reduce((sum, error) => sum + error[pick], 0) / errors.length;
    expect(mean5("plain")).toBeGreaterThan(0.03); // about d(d + 5)/4n: the mean's part and the covariance's
    expect(Math.abs(mean5("infinite"))).toBeLessThan(0.4 * mean5("plain"));
  });

  test("is the same each time, and another for another seed", async () => {
    const features = normalFeatures(300, d, 1);
    const distanceTo = await frechetTo(kernels, standard);
    const settings = { points: 4, smallest: 100 };
    const first = await frechetInfinity(kernels, distanceTo, features, settings);
    expect(first.points.map(({ count }) => count)).toEqual([100, 167, 233, 300]);
    expect(await frechetInfinity(kernels, distanceTo, features, settings)).toEqual(first);
    expect((await frechetInfinity(kernels, distanceTo, features, { ...settings, seed: 1 })).distance).not.toBe(
      first.distance,
    );
  });

  test("goes through points that lie on a line", async () => {
    const features = normalFeatures(300, d, 1);
    const counted = (count: number) => ({ distance: 7 + 40 / count, meanTerm: 0, clippedEigenvalues: 0 });
    const { distance, slope } = await frechetInfinity(
      kernels,
      async (other) => counted((other as unknown as { count: number }).count),
      features,
    );
    expect(distance).toBeCloseTo(7, 10);
    expect(slope).toBeCloseTo(40, 8);
  });

  test.each([
    [{ points: 1 }, /2 points, got 1/],
    [{ smallest: 300 }, /2 to 299 of 300 samples, got 300/],
    [{ smallest: 1 }, /got 1/],
  ])("is refused for %o", async (options, message) => {
    const features = normalFeatures(300, d, 1);
    await expect(frechetInfinity(kernels, await frechetTo(kernels, standard), features, options)).rejects.toThrow(
      message,
    );
  });
});
