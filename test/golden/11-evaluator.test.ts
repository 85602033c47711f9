/** Parity of metrics with the ADM evaluation suite that the original measures by. */
import { afterAll, describe, expect, test } from "vitest";
import { NDArray } from "../../src/array/ndarray.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { nearestRows, squaredDistance } from "../../src/evaluation/metrics/distances.ts";
import type { Features } from "../../src/evaluation/metrics/feature-rows.ts";
import { frechetDistance } from "../../src/evaluation/metrics/frechet.ts";
import { gaussianStats } from "../../src/evaluation/metrics/gaussian-stats.ts";
import { inceptionScore } from "../../src/evaluation/metrics/inception-score.ts";
import { openMetricKernels } from "../../src/evaluation/metrics/kernels.ts";
import { precisionRecall, shareInside, squaredRadii } from "../../src/evaluation/metrics/precision-recall.ts";
import { atLeastOne, loadFixture } from "./fixture.ts";
import "./matchers.ts";

interface PrExpected {
  readonly precision: number;
  readonly recall: number;
  readonly k3_k5_precision: readonly [number, number];
  readonly k3_k5_recall: readonly [number, number];
  readonly eval_fraction: number;
}
interface Expected {
  readonly [fid: `fid/${string}`]: { readonly fid: number; readonly fid_by_eigenvalues?: number };
  readonly is: Readonly<Record<string, number>>;
  readonly pr: PrExpected;
}

const fixture = loadFixture<{ readonly k: number }, Expected>("11_evaluator");
const kernels = openMetricKernels(cpuEngine({ threads: 1 }));
afterAll(() => kernels.release());

const doubles = (name: string) => fixture.tensor(name).data as Float64Array;
const floats = (name: string) => {
  const { shape, data } = fixture.tensor(name);
  return new NDArray("float32", shape, Float32Array.from(data as Float32Array | Float64Array));
};

describe("the Fréchet distance equals upstream's", () => {
  const cases = atLeastOne(
    fixture.names.flatMap((name) => /^fid\/(.+)\/mu1$/.exec(name)?.[1] ?? []),
    "Fréchet cases",
  );
  test.each(cases)("%s", async (name) => {
    const [a, b] = [1, 2].map((side) => ({
      mean: doubles(`fid/${name}/mu${side}`),
      covariance: doubles(`fid/${name}/sigma${side}`),
    })) as [{ mean: Float64Array; covariance: Float64Array }, { mean: Float64Array; covariance: Float64Array }];
    const { fid, fid_by_eigenvalues } = fixture.expected[`fid/${name}`]!;
    const { distance, clippedEigenvalues } = await frechetDistance(kernels, a, b);
    const traces = a.covariance.filter((_, at) => at % (a.mean.length + 1) === 0).reduce((sum, x) => sum + x, 0);
    // Under a root an error of 1e-16 in an eigenvalue that is 0 becomes one of 1e-8: upstream's two ways differ that much too.
    const allowed = 1e-8 * Math.max(Math.abs(fid), traces);
    expect(Math.abs(distance - fid_by_eigenvalues!)).toBeLessThan(allowed);
    expect(Math.abs(distance - fid)).toBeLessThan(allowed);
    expect(Math.abs(clippedEigenvalues)).toBeLessThan(1e-12 * traces);
  });

  test("from features, with statistics fitted here", async () => {
    const a = await gaussianStats(kernels, floats("fid/acts1"));
    const b = await gaussianStats(kernels, floats("fid/acts2"));
    expect(a.mean).toMatchGolden(fixture.tensor("fid/regular/mu1"), { relative: 1e-7 });
    expect(a.covariance).toMatchGolden(fixture.tensor("fid/regular/sigma1"), { relative: 1e-6 });
    const { fid } = fixture.expected["fid/regular_from_float32_acts"]!;
    expect((await frechetDistance(kernels, a, b)).distance / fid).toBeCloseTo(1, 6); // upstream's means are float32
  });

  test("of few rows, whose covariances are singular", async () => {
    const few = Array.from(fixture.tensor("fid/few_n").data, Number);
    const [a, b] = [floats("fid/acts1").rows(0, few[0]!), floats("fid/acts2").rows(0, few[1]!)] as [Features, Features];
    const [first, second] = [await gaussianStats(kernels, a), await gaussianStats(kernels, b)];
    expect(second.covariance).toMatchGolden(fixture.tensor("fid/rank_deficient/sigma2"), { relative: 1e-6 });
    const { fid } = fixture.expected["fid/rank_deficient"]!;
    expect((await frechetDistance(kernels, first, second)).distance / fid).toBeCloseTo(1, 6);
  });
});

describe("the Inception Score equals upstream's, which is float32", () => {
  test.each(atLeastOne(Object.entries(fixture.expected.is), "split sizes"))("%s", (name, expected) => {
    const splitSize = Number(/^split(\d+)$/.exec(name)![1]);
    expect(inceptionScore(floats("is/probs"), { splitSize }).score / expected).toBeCloseTo(1, 6);
  });
});

describe("manifolds equal upstream's", () => {
  const [reference, sample] = [floats("pr/ref"), floats("pr/sample")];
  const { k } = fixture.settings;
  const { precision, recall, k3_k5_precision, k3_k5_recall, eval_fraction } = fixture.expected.pr;
  const float32Tolerance = { relative: 1e-5 };

  test("distances", () => {
    const [n, m] = [reference.shape[0]!, sample.shape[0]!];
    const d = reference.shape[1]!;
    const found = Float32Array.from({ length: n * m }, (_, at) =>
      squaredDistance(reference.data, Math.floor(at / m) * d, sample.data, (at % m) * d, d),
    );
    expect(new NDArray("float32", [n, m], found)).toMatchGolden(fixture.tensor("pr/sq_distances"), float32Tolerance);
  });

  test("radii", async () => {
    for (const [features, name] of [
      [reference, "pr/radii_ref"],
      [sample, "pr/radii_sample"],
    ] as const) {
      expect(await squaredRadii(kernels, features, k)).toMatchGolden(fixture.tensor(name), float32Tolerance);
    }
  });

  test("precision and recall, for 3 and for 5 neighbours", async () => {
    expect(await precisionRecall(kernels, reference, sample, { neighbours: k })).toEqual({ precision, recall });
    for (const [at, neighbours] of [3, 5].entries()) {
      const expected = { precision: k3_k5_precision[at], recall: k3_k5_recall[at] };
      expect(await precisionRecall(kernels, reference, sample, { neighbours })).toEqual(expected);
    }
  });

  test("which samples are inside, one by one", async () => {
    const radii = await squaredRadii(kernels, reference, k);
    expect(await shareInside(kernels, sample, reference, radii)).toBe(eval_fraction);
    const expected = Array.from(fixture.tensor("pr/eval_predictions").data, Number);
    for (const [i, inside] of expected.entries()) {
      expect(await shareInside(kernels, sample.rows(i, i + 1), reference, radii), `sample ${i}`).toBe(inside);
    }
  });

  test("the nearest reference of each sample, and its realism", async () => {
    const radii = await squaredRadii(kernels, reference, k);
    const { index } = await nearestRows(kernels, sample, reference);
    expect([...index]).toEqual(Array.from(fixture.tensor("pr/eval_nearest").data, Number));
    const d = reference.shape[1]!;
    // The evaluator's: the largest radius ÷ distance over all balls, both squared, with a guard against division by zero.
    const scores = Float64Array.from({ length: sample.shape[0]! }, (_, i) => {
      const distance = (j: number) => squaredDistance(sample.data, i * d, reference.data, j * d, d);
      return Math.max(...radii.map((radius, j) => radius / (distance(j) + 1e-5)));
    });
    expect(scores).toMatchGolden(fixture.tensor("pr/eval_realism"), float32Tolerance);
  });
});
