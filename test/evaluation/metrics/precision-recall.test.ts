import { afterAll, describe, expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { squaredDistance } from "../../../src/evaluation/metrics/distances.ts";
import type { Features } from "../../../src/evaluation/metrics/feature-rows.ts";
import { openMetricKernels } from "../../../src/evaluation/metrics/kernels.ts";
import {
  precisionRecall,
  shareInside,
  squaredRadii,
  subsampledPrecisionRecall,
} from "../../../src/evaluation/metrics/precision-recall.ts";
import { line, normalFeatures, scatteredFeatures } from "./scattered-features.ts";

const kernels = openMetricKernels(cpuEngine({ threads: 1 }));
afterAll(() => kernels.release());

/** By sorting all exact distances. */
function radiiBySorting({ data, shape }: Features, k: number): number[] {
  const [n, d] = shape as readonly number[] as readonly [number, number];
  return Array.from({ length: n }, (_, i) => {
    const all = Array.from({ length: n }, (_, j) => squaredDistance(data, i * d, data, j * d, d));
    return all.filter((_, j) => j !== i).sort((x, y) => x - y)[k - 1]!;
  });
}

/** [n, 64]: 20 places around 50, and about them rows that a squared distance from float32 products cannot tell apart. */
function nearDuplicates(n: number, seed: number): Features {
  const places = scatteredFeatures(20, 64, 3, 50).data;
  const jitter = scatteredFeatures(n, 64, seed).data;
  return float32(
    jitter.map((x, at) => places[(Math.floor(at / 64) % 20) * 64 + (at % 64)]! + 1e-3 * x),
    [n, 64],
  );
}

/** By all exact distances. */
function shareByDefinition(points: Features, centres: Features, radii: ArrayLike<number>): number {
  const [m, d] = points.shape as readonly number[] as readonly [number, number];
  const inside = Array.from({ length: m }, (_, i) =>
    Array.from(radii).some((radius, j) => squaredDistance(points.data, i * d, centres.data, j * d, d) <= radius),
  );
  return inside.filter(Boolean).length / m;
}

describe("squared radii", () => {
  test("are the squared distances to the k-th other feature", async () => {
    const features = line(0, 1, 3, 7, 20);
    expect([...(await squaredRadii(kernels, features, 1))]).toEqual([1, 1, 4, 16, 169]);
    expect([...(await squaredRadii(kernels, features, 3))]).toEqual([49, 36, 16, 49, 361]);
  });

  test("count an equal feature as a neighbour", async () => {
    expect([...(await squaredRadii(kernels, line(5, 5, 5, 6), 2))]).toEqual([0, 0, 0, 1]);
  });

  test("are exactly those of sorting all distances, over many blocks", async () => {
    const features = scatteredFeatures(1300, 5, 8);
    expect([...(await squaredRadii(kernels, features, 3))]).toEqual(radiiBySorting(features, 3));
  });

  test("are exact among near duplicates far from zero", async () => {
    const features = nearDuplicates(200, 1);
    expect([...(await squaredRadii(kernels, features, 3))]).toEqual(radiiBySorting(features, 3));
  });
});

describe("precision and recall", () => {
  test("are both 1 for the same features", async () => {
    const features = scatteredFeatures(40, 6, 1);
    expect(await precisionRecall(kernels, features, features)).toEqual({ precision: 1, recall: 1 });
  });

  test("are both 0 for features far apart", async () => {
    const [a, b] = [scatteredFeatures(40, 6, 1), scatteredFeatures(40, 6, 2, 100)];
    expect(await precisionRecall(kernels, a, b)).toEqual({ precision: 0, recall: 0 });
  });

  test("tell a collapsed generator: precise, but it covers little", async () => {
    const reference = scatteredFeatures(60, 2, 1);
    const generated = float32(
      Float32Array.from({ length: 60 }, (_, i) => 1e-3 * i),
      [30, 2],
    );
    const { precision, recall } = await precisionRecall(kernels, reference, generated);
    expect(precision).toBe(1);
    expect(recall).toBeLessThan(0.1);
    const swapped = await precisionRecall(kernels, generated, reference);
    expect([swapped.precision, swapped.recall]).toEqual([recall, precision]);
  });

  test("equal those of all exact distances", async () => {
    const [a, b] = [scatteredFeatures(300, 8, 1), scatteredFeatures(250, 8, 2, 0.3)];
    const share = (points: Features, centres: Features) =>
      shareByDefinition(points, centres, radiiBySorting(centres, 3));
    const expected = { precision: share(b, a), recall: share(a, b) };
    expect(await precisionRecall(kernels, a, b)).toEqual(expected);
    for (const value of Object.values(expected)) expect(value > 0.05 && value < 0.95).toBe(true);
  });

  test("are exact among near duplicates", async () => {
    const [points, centres] = [nearDuplicates(300, 2), nearDuplicates(40, 1)];
    const radii = Float64Array.from(radiiBySorting(centres, 1));
    const expected = shareByDefinition(points, centres, radii);
    expect(expected > 0.1 && expected < 0.9).toBe(true);
    expect(await shareInside(kernels, points, centres, radii)).toBe(expected);
  });

  test("count a feature on the edge of a ball as inside", async () => {
    const share = await shareInside(kernels, line(2, 2.5, 9), line(0, 10), Float64Array.of(4, 1));
    expect(share).toBeCloseTo(2 / 3, 12);
  });

  test("grow with the number of neighbours", async () => {
    const [a, b] = [scatteredFeatures(40, 6, 1), scatteredFeatures(40, 6, 2, 0.5)];
    const few = await precisionRecall(kernels, a, b, { neighbours: 1 });
    const many = await precisionRecall(kernels, a, b, { neighbours: 8 });
    expect(few.precision).toBeLessThan(many.precision);
  });

  test("are refused with too few rows or different dimensions", async () => {
    await expect(precisionRecall(kernels, line(1, 2, 3), line(1, 2, 3, 4))).rejects.toThrow(
      /3 nearest neighbours .* got 3/,
    );
    const [a, b] = [scatteredFeatures(9, 2, 1), scatteredFeatures(9, 3, 1)];
    await expect(precisionRecall(kernels, a, b)).rejects.toThrow(/dimension 2 .* 3/);
    await expect(shareInside(kernels, float32([], [0, 2]), a, new Float64Array(9))).rejects.toThrow(/at least 1 row/);
  });
});

describe("precision and recall of subsamples", () => {
  test("are means over ten disjoint tenths, with their standard error and size", async () => {
    const [a, b] = [normalFeatures(605, 3, 1), normalFeatures(404, 3, 2, 0.5)];
    const found = await subsampledPrecisionRecall(kernels, a, b);
    expect(found.rows).toEqual({ reference: 60, generated: 40 });
    const whole = await precisionRecall(kernels, normalFeatures(60, 3, 3), normalFeatures(40, 3, 4, 0.5));
    for (const side of ["precision", "recall"] as const) {
      expect(found[side].standardError).toBeGreaterThan(0.001);
      expect(found[side].standardError).toBeLessThan(0.1);
      expect(Math.abs(found[side].mean - whole[side])).toBeLessThan(12 * found[side].standardError); // 10 times one draw's
    }
    expect(await subsampledPrecisionRecall(kernels, a, b)).toEqual(found);
  });

  test("use each row once: one row that lies apart counts in one tenth", async () => {
    const N = 40;
    const apart = (row: number) => line(...Array.from({ length: N }, (_, i) => (i === row ? 9 : 0)));
    const equal = apart(N);
    const options = { neighbours: 1 };
    for (let row = 0; row < N; row++) {
      const drawn = await subsampledPrecisionRecall(kernels, equal, apart(row), options);
      expect(drawn.precision.mean).toBeCloseTo(1 - 1 / N, 12);
      const real = await subsampledPrecisionRecall(kernels, apart(row), equal, options);
      expect(real.recall.mean).toBeCloseTo(1 - 1 / N, 12);
    }
  });

  test("are refused where a tenth is too small", async () => {
    const features = normalFeatures(39, 2, 1);
    await expect(subsampledPrecisionRecall(kernels, features, features)).rejects.toThrow(/3 nearest .* got 3/);
  });
});
