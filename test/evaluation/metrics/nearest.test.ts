import { afterAll, describe, expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import { cpuEngine } from "../../../src/engine/onnx/node-engine.ts";
import { nearestRows, squaredDistance } from "../../../src/evaluation/metrics/distances.ts";
import { openMetricKernels } from "../../../src/evaluation/metrics/kernels.ts";
import { line, scatteredFeatures } from "./scattered-features.ts";

const kernels = openMetricKernels(cpuEngine({ threads: 1 }));
afterAll(() => kernels.release());

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
