/** Distances between features, against plain loops. */
import { afterAll, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32 } from "../../../src/array/ndarray.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { forEachDistanceRow, nearestRows, squaredDistance } from "../../../src/evaluation/metrics/distances.ts";
import type { Features } from "../../../src/evaluation/metrics/feature-rows.ts";
import { openMetricKernels } from "../../../src/evaluation/metrics/kernels.ts";
import { line, scatteredFeatures } from "./scattered-features.ts";

const kernels = openMetricKernels(cpuEngine({ threads: 1 }));
afterAll(() => kernels.release());

/** The widest interval, relative to the distance in its middle, after checking that every interval holds the distance. */
async function widestInterval(points: Features, centres: Features): Promise<number> {
  const d = points.shape[1]!;
  const seen: number[] = [];
  let widest = 0;
  await forEachDistanceRow(kernels, points, centres, ({ index, lower, upper, exact }) => {
    seen.push(index);
    for (let j = 0; j < lower.length; j++) {
      const squared = exact(j);
      expect(squared).toBe(squaredDistance(points.data, index * d, centres.data, j * d, d));
      if (!(lower[j]! <= squared && squared <= upper[j]!)) expect.fail(`${squared} not in [${lower[j]}, ${upper[j]}]`);
      widest = Math.max(widest, (upper[j]! - lower[j]!) / squared);
    }
  });
  expect(seen).toEqual(Array.from({ length: points.shape[0]! }, (_, i) => i));
  return widest;
}

describe("distance rows", () => {
  test("hold the exact distances in narrow intervals, over blocks", async () => {
    expect(await widestInterval(scatteredFeatures(1205, 64, 1), scatteredFeatures(31, 64, 2, 0.3))).toBeLessThan(1e-4);
  });

  test("stay narrow far from zero", async () => {
    expect(await widestInterval(scatteredFeatures(20, 64, 1, 300), scatteredFeatures(30, 64, 2, 300))).toBeLessThan(
      1e-4,
    );
  });

  test("hold the distances of near duplicates, which products in float32 cannot tell", async () => {
    const base = scatteredFeatures(10, 2048, 3, 2);
    const moved = float32(
      base.data.map((x, i) => (i % 700 === 0 ? x * (1 + 2 ** -20) : x)),
      base.shape,
    );
    await widestInterval(base, moved);
  });

  test("are refused for features of different widths or that are not finite", async () => {
    const ignore = () => undefined;
    const wrong = forEachDistanceRow(kernels, scatteredFeatures(3, 2, 1), scatteredFeatures(3, 4, 1), ignore);
    await expect(wrong).rejects.toThrow(/dimension 2 cannot be compared with 4/);
    const broken = forEachDistanceRow(kernels, float32([0, Number.NaN], [2, 1]), float32([0, 1], [2, 1]), ignore);
    await expect(broken).rejects.toThrow(InputError);
    await expect(broken).rejects.toThrow(/not finite, or too large, in row 1/);
    const large = float32([0, 3e19, 0, 0], [2, 2]); // its square is no float32, in which products are taken
    await expect(forEachDistanceRow(kernels, large, float32([0, 0], [1, 2]), ignore)).rejects.toThrow(/in row 0/);
    await forEachDistanceRow(kernels, float32([1e19, 0], [1, 2]), float32([0, 0], [1, 2]), ({ lower, upper }) => {
      expect(lower[0]! <= 1e38 && 1e38 <= upper[0]!).toBe(true);
    });
  });
});

describe("the nearest rows", () => {
  test("are those of least distance, the first of equal ones", async () => {
    const { index, squaredDistance } = await nearestRows(kernels, line(2, 9, -1, 5), line(0, 4, 10, 10, 6));
    expect([...index]).toEqual([0, 2, 0, 1]);
    expect([...squaredDistance]).toEqual([4, 1, 1, 1]);
  });

  test("are exact over many blocks, and find copies", async () => {
    const [points, centres] = [scatteredFeatures(1100, 6, 1), scatteredFeatures(70, 6, 2)];
    points.data.set(centres.data.subarray(6 * 33, 6 * 34), 6 * 1050);
    const { index, squaredDistance: found } = await nearestRows(kernels, points, centres);
    for (let i = 0; i < 1100; i++) {
      const all = Array.from({ length: 70 }, (_, j) => squaredDistance(points.data, i * 6, centres.data, j * 6, 6));
      expect(found[i]).toBe(Math.min(...all));
      expect(index[i]).toBe(all.indexOf(found[i]!));
    }
    expect([index[1050], found[1050]]).toEqual([33, 0]);
  });

  test("need something to be near to", async () => {
    await expect(nearestRows(kernels, line(1), float32([], [0, 1]))).rejects.toThrow(/at least 1 reference row/);
  });
});
