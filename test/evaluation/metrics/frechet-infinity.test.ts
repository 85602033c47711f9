import { afterAll, describe, expect, test } from "vitest";
import { cpuEngine } from "../../../src/engine/onnx/node-engine.ts";
import { frechetInfinity, frechetTo } from "../../../src/evaluation/metrics/frechet.ts";
import { openMetricKernels } from "../../../src/evaluation/metrics/kernels.ts";
import { normalFeatures } from "./scattered-features.ts";

const kernels = openMetricKernels(cpuEngine({ threads: 1 }));
afterAll(() => kernels.release());

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
