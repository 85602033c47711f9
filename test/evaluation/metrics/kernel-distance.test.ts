import { afterAll, describe, expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import { permutation } from "../../../src/array/random.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { type Features, jackknife, rowsOf } from "../../../src/evaluation/metrics/feature-rows.ts";
import {
  type Kernel,
  kernelDistance,
  kernelDistanceJackknife,
  medianKernel,
} from "../../../src/evaluation/metrics/kernel-distance.ts";
import { openMetricKernels } from "../../../src/evaluation/metrics/kernels.ts";
import { line, normalFeatures, scatteredFeatures } from "./scattered-features.ts";

const kernels = openMetricKernels(cpuEngine({ threads: 1 }));
afterAll(() => kernels.release());

const gaussian = (bandwidth: number): Kernel => ({ kind: "gaussian", bandwidth });
const polynomial: Kernel = { kind: "polynomial" };

/** By the definition, over all pairs. */
function directly(x: Features, y: Features, kernel: Kernel): number {
  const d = x.shape[1]!;
  const alike = (a: Float32Array, b: Float32Array) => {
    const product = a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    const squared = a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0);
    return kernel.kind === "polynomial" ? (product / d + 1) ** 3 : Math.exp(-squared / (2 * kernel.bandwidth ** 2));
  };
  const mean = (a: Features, b: Features) => {
    let [total, pairs] = [0, 0];
    for (let i = 0; i < a.shape[0]!; i++) {
      for (let j = 0; j < b.shape[0]!; j++) {
        if (a === b && i === j) continue;
        total += alike(a.data.subarray(i * d, (i + 1) * d), b.data.subarray(j * d, (j + 1) * d));
        pairs++;
      }
    }
    return total / pairs;
  };
  return mean(x, x) + mean(y, y) - 2 * mean(x, y);
}

describe("the kernel distance", () => {
  test("of three and three points is that by hand", async () => {
    const e = (squared: number) => Math.exp(-squared / 2);
    // within {0, 1, 3}: 1, 4, 9 apart (squared); within {2, 2, 5}: 0, 9, 9; between: 4 4 25, 1 1 16, 1 1 4
    const expected =
      (2 * (e(1) + e(4) + e(9))) / 6 +
      (2 * (e(0) + e(9) + e(9))) / 6 -
      (2 * (2 * e(4) + e(25) + 2 * e(1) + e(16) + 2 * e(1) + e(4))) / 9;
    expect(await kernelDistance(kernels, line(0, 1, 3), line(2, 2, 5), gaussian(1))).toBeCloseTo(expected, 14);
    // (xy + 1)³ within: 1, 1, 64; 125, 1331, 1331; between: 1 1 1, 27 27 216, 343 343 4096
    const cubes = (2 * 66) / 6 + (2 * 2787) / 6 - (2 * (3 + 270 + 4782)) / 9;
    expect(await kernelDistance(kernels, line(0, 1, 3), line(2, 2, 5), polynomial)).toBeCloseTo(cubes, 10);
  });

  test("of two normal distributions is the known one within sampling error", async () => {
    const [d, n, sigma, shift, s] = [2, 3000, 1.5, 0.7, 1.3];
    // E k = Π σ/√(σ² + v) exp(−δ²/2(σ² + v)), with v the sum of the two variances
    const mean = (variance: number, delta: number) =>
      ((sigma / Math.sqrt(sigma ** 2 + variance)) * Math.exp(-(delta ** 2) / (2 * (sigma ** 2 + variance)))) ** d;
    const truth = mean(2, 0) + mean(2 * s ** 2, 0) - 2 * mean(1 + s ** 2, shift);
    const [x, y] = [normalFeatures(n, d, 1), normalFeatures(n, d, 2, shift, s)];
    const { estimate, standardError } = await kernelDistanceJackknife(kernels, x, y, gaussian(sigma));
    expect(truth).toBeGreaterThan(0.02);
    expect(standardError).toBeLessThan(0.1 * truth);
    expect(Math.abs(estimate - truth)).toBeLessThan(5 * standardError); // x's own spread is not in it
  });

  test("has no bias: it is around 0, on both sides, for one distribution", async () => {
    const found: number[] = [];
    for (let seed = 0; seed < 12; seed++) {
      const [x, y] = [normalFeatures(50, 2, seed), normalFeatures(60, 2, 100 + seed)];
      found.push(await kernelDistance(kernels, x, y, gaussian(1)));
    }
    expect(Math.min(...found)).toBeLessThan(0);
    expect(Math.max(...found)).toBeGreaterThan(0);
    const mean = found.reduce((sum, value) => sum + value, 0) / found.length;
    expect(Math.abs(mean)).toBeLessThan(0.006); // keeping the pairs of a row with itself would add 0.025
  });

  test.each([
    ["gaussian", gaussian(3)] as const,
    ["polynomial", polynomial] as const,
  ])("is that of the definition over many blocks and groups: %s", async (_, kernel) => {
    const [n, m] = [90, 2105];
    const [x, y] = [scatteredFeatures(n, 5, 1), scatteredFeatures(m, 5, 2, 0.2)];
    const expected = directly(x, y, kernel);
    expect((await kernelDistance(kernels, x, y, kernel)) / expected).toBeCloseTo(1, 9);
    expect((await kernelDistance(kernels, y, x, kernel)) / expected).toBeCloseTo(1, 9);
    const leftOut: number[] = [];
    for (let group = 0; group < 10; group++) {
      const rows = Int32Array.from(Array.from({ length: m }, (_, i) => i).filter((i) => i % 10 !== group));
      leftOut.push(await kernelDistance(kernels, x, rowsOf(y, rows), kernel));
    }
    const { estimate, standardError } = await kernelDistanceJackknife(kernels, x, y, kernel);
    expect(estimate / expected).toBeCloseTo(1, 9);
    expect(standardError / jackknife(expected, leftOut).standardError).toBeCloseTo(1, 9);
  });

  test("does not depend on the order of rows", async () => {
    const [x, y] = [scatteredFeatures(60, 4, 1), scatteredFeatures(50, 4, 2, 0.4)];
    const order = permutation({ seed: 1, purpose: "test order", step: 0, index: 0 }, 50);
    const found = await kernelDistance(kernels, x, y, gaussian(1));
    expect(await kernelDistance(kernels, x, rowsOf(y, order), gaussian(1))).toBeCloseTo(found, 13);
  });

  test.each([
    ["gaussian", gaussian(1)] as const,
    ["polynomial", polynomial] as const,
  ])("has the standard error of leaving rows out by hand: %s", async (_, kernel) => {
    const [x, y] = [scatteredFeatures(40, 4, 1), scatteredFeatures(53, 4, 2, 0.4)];
    const leftOut: number[] = [];
    for (let group = 0; group < 10; group++) {
      const rows = Array.from({ length: 53 }, (_, i) => i).filter((i) => i % 10 !== group);
      leftOut.push(directly(x, rowsOf(y, Int32Array.from(rows)), kernel));
    }
    const expected = jackknife(directly(x, y, kernel), leftOut);
    const found = await kernelDistanceJackknife(kernels, x, y, kernel);
    expect(found.estimate).toBeCloseTo(expected.estimate, 12);
    expect(found.standardError).toBeCloseTo(expected.standardError, 12);
    expect(found.standardError).toBeGreaterThan(1e-4);
  });

  test("is refused for single rows, other widths and impossible bandwidths", async () => {
    const refused = (x: Features, y: Features, kernel = gaussian(1)) => expect(kernelDistance(kernels, x, y, kernel));
    await refused(line(1), line(1, 2)).rejects.toThrow(/at least 2 rows .* got 1/);
    await refused(line(1, 2), scatteredFeatures(3, 2, 1)).rejects.toThrow(/dimension 1 .* 2/);
    for (const wrong of [0, -1, Number.NaN]) {
      await refused(line(1, 2), line(1, 2), gaussian(wrong)).rejects.toThrow(/positive bandwidth/);
    }
    await expect(kernelDistanceJackknife(kernels, line(1, 2), line(1, 2), gaussian(1))).rejects.toThrow(
      /20 rows, got 2/,
    );
  });
});

describe("the median kernel", () => {
  test("has the median distance of the rows", () => {
    expect(medianKernel(line(0, 1, 4))).toEqual({ kind: "gaussian", bandwidth: 3 }); // 1, 3, 4
  });

  test("of many rows is about that of their distribution, and the same each time", () => {
    const features = normalFeatures(5000, 1, 1);
    const { bandwidth } = medianKernel(features);
    expect(bandwidth).toBeCloseTo(0.6745 * Math.SQRT2, 1);
    expect(medianKernel(features).bandwidth).toBe(bandwidth);
  });

  test("grows with the unit of the features", () => {
    const features = scatteredFeatures(50, 3, 1);
    const doubled = float32(
      features.data.map((x) => 2 * x),
      features.shape,
    );
    expect(medianKernel(doubled).bandwidth).toBe(2 * medianKernel(features).bandwidth);
  });

  test("is refused where rows are equal or only one", () => {
    expect(() => medianKernel(line(2, 2, 2))).toThrow(/median distance .* is 0; give a bandwidth/);
    expect(() => medianKernel(line(2))).toThrow(/at least 2 rows/);
  });
});
