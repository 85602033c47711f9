import { afterAll, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32 } from "../../../src/array/ndarray.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { type Features, rowsOf } from "../../../src/evaluation/metrics/feature-rows.ts";
import { GaussianAccumulator, gaussianStats, groupedStats } from "../../../src/evaluation/metrics/gaussian-stats.ts";
import { openMetricKernels } from "../../../src/evaluation/metrics/kernels.ts";
import { scatteredFeatures } from "./scattered-features.ts";

const kernels = openMetricKernels(cpuEngine({ threads: 1 }));
afterAll(() => kernels.release());

/** By the definition, in two passes. */
function directly({ data, shape }: Features): { mean: Float64Array; covariance: Float64Array } {
  const [n, d] = shape as readonly number[] as readonly [number, number];
  const mean = new Float64Array(d);
  for (let i = 0; i < n; i++) for (let j = 0; j < d; j++) mean[j]! += data[i * d + j]! / n;
  const covariance = new Float64Array(d * d);
  for (let i = 0; i < n; i++) {
    const row = Float64Array.from({ length: d }, (_, j) => data[i * d + j]! - mean[j]!);
    for (let j = 0; j < d; j++) for (let k = 0; k < d; k++) covariance[j * d + k]! += (row[j]! * row[k]!) / (n - 1);
  }
  return { mean, covariance };
}

function largestDifference(a: Float64Array, b: Float64Array): number {
  expect(a).toHaveLength(b.length);
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}

describe("statistics", () => {
  test("are the mean and the unbiased covariance", async () => {
    const stats = await gaussianStats(kernels, float32([1, 2, 3, 4, 5, 9], [3, 2]));
    expect([...stats.mean]).toEqual([3, 5]);
    expect([...stats.covariance]).toEqual([4, 7, 7, 13]);
    expect(stats.count).toBe(3);
  });

  test("do not lose the variance of features far from zero", async () => {
    const stats = await gaussianStats(kernels, float32([4096, 4097, 4098, 4099], [4, 1]));
    expect(stats.covariance[0]).toBeCloseTo(5 / 3, 12);
  });

  test("do not lose it either where later blocks are elsewhere", async () => {
    const features = float32(
      Float32Array.from({ length: 5000 }, (_, i) => (i < 1024 ? 1e6 : 0) + (i % 2)),
      [5000, 1],
    );
    const { mean, covariance } = directly(features);
    const stats = await gaussianStats(kernels, features);
    expect(stats.mean[0]! / mean[0]!).toBeCloseTo(1, 12);
    expect(stats.covariance[0]! / covariance[0]!).toBeCloseTo(1, 12);
  });

  test.each([
    [101, 3],
    [2500, 7],
    [300, 300],
    [40, 513],
  ])("of %i rows and %i columns are those of the definition, over blocks and panels", async (n, d) => {
    const features = scatteredFeatures(n, d, 5, 3);
    const stats = await gaussianStats(kernels, features);
    const { mean, covariance } = directly(features);
    expect(largestDifference(stats.mean, mean)).toBeLessThan(1e-12);
    expect(largestDifference(stats.covariance, covariance)).toBeLessThan(1e-13);
    const turned = stats.covariance.map((_, at) => stats.covariance[(at % d) * d + Math.floor(at / d)]!);
    expect(largestDifference(stats.covariance, turned)).toBe(0);
  });

  test("have the same bits however the rows are handed over", async () => {
    const [n, d] = [3001, 5];
    const features = scatteredFeatures(n, d, 6, 2);
    const whole = await groupedStats(kernels, features, 3);
    const accumulator = new GaussianAccumulator(kernels, d, 3);
    for (let start = 0, rows = 1; start < n; start += rows, rows = 1 + ((rows * 7) % 400)) {
      await accumulator.add(features.rows(start, Math.min(start + rows, n)));
    }
    const parts = await accumulator.finish();
    expect(parts.all).toEqual(whole.all);
    expect(parts.without(1)).toEqual(whole.without(1));
  });

  test("without a group equal those of the other rows alone", async () => {
    const [n, d, groups] = [10_250, 4, 10];
    const features = scatteredFeatures(n, d, 7, 100);
    const grouped = await groupedStats(kernels, features, groups);
    expect(grouped.all.count).toBe(n);
    expect(largestDifference(grouped.all.covariance, directly(features).covariance)).toBeLessThan(1e-12);
    for (const group of [0, 3, 9]) {
      const rows = Int32Array.from(Array.from({ length: n }, (_, i) => i).filter((i) => i % groups !== group));
      const alone = directly(rowsOf(features, rows));
      const { mean, covariance, count } = grouped.without(group);
      expect(count).toBe(rows.length);
      expect(largestDifference(mean, alone.mean)).toBeLessThan(1e-10);
      expect(largestDifference(covariance, alone.covariance)).toBeLessThan(1e-12);
    }
  });

  test("need two rows of finite features of one width", async () => {
    await expect(gaussianStats(kernels, float32([1, 2], [1, 2]))).rejects.toThrow(/at least 2 rows.* got 1/);
    await expect(gaussianStats(kernels, float32([], [0, 2]))).rejects.toThrow(/at least 2 rows.* got 0/);
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const result = gaussianStats(kernels, float32([1, 2, 3, wrong], [2, 2]));
      await expect(result).rejects.toThrow(/feature 1 of 2 is not finite/);
    }
    await expect(gaussianStats(kernels, float32([1, 2]))).rejects.toThrow(InputError);
    const accumulator = new GaussianAccumulator(kernels, 2);
    await expect(accumulator.add(scatteredFeatures(4, 3, 1))).rejects.toThrow(/dimension 2 .* 3/);
    await accumulator.add(scatteredFeatures(4, 2, 1));
    await accumulator.finish();
    await expect(accumulator.add(scatteredFeatures(4, 2, 1))).rejects.toThrow(RangeError);
  });
});
