import { describe, expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import { precisionRecall, shareInside, squaredRadii } from "../../../src/evaluation/metrics/precision-recall.ts";
import { scatteredFeatures } from "./scattered-features.ts";

const line = (...values: number[]) => float32(values, [values.length, 1]);

describe("squared radii", () => {
  test("are the squared distances to the k-th other feature", () => {
    const features = line(0, 1, 3, 7, 20);
    expect([...squaredRadii(features, 1)]).toEqual([1, 1, 4, 16, 169]);
    expect([...squaredRadii(features, 3)]).toEqual([49, 36, 16, 49, 361]);
  });

  test("count an equal feature as a neighbour", () => {
    expect([...squaredRadii(line(5, 5, 5, 6), 2)]).toEqual([0, 0, 0, 1]);
  });

  test("agree over many blocks with sorting all distances", () => {
    const [n, d, k] = [77, 5, 3];
    const features = scatteredFeatures(n, d, 8);
    const radii = squaredRadii(features, k);
    for (let i = 0; i < n; i++) {
      const others = Array.from({ length: n }, (_, j) => {
        let squared = 0;
        for (let c = 0; c < d; c++) squared += (features.data[i * d + c]! - features.data[j * d + c]!) ** 2;
        return squared;
      });
      expect(radii[i]).toBeCloseTo(others.filter((_, j) => j !== i).sort((x, y) => x - y)[k - 1]!, 13);
    }
  });
});

describe("precision and recall", () => {
  test("are both 1 for the same features", () => {
    const features = scatteredFeatures(40, 6, 1);
    expect(precisionRecall(features, features)).toEqual({ precision: 1, recall: 1 });
  });

  test("are both 0 for features far apart", () => {
    expect(precisionRecall(scatteredFeatures(40, 6, 1), scatteredFeatures(40, 6, 2, 100))).toEqual({
      precision: 0,
      recall: 0,
    });
  });

  test("tell a collapsed generator: precise, but it covers little", () => {
    const reference = scatteredFeatures(60, 2, 1);
    const generated = float32(
      Float32Array.from({ length: 60 }, (_, i) => 1e-3 * i),
      [30, 2],
    );
    const { precision, recall } = precisionRecall(reference, generated);
    expect(precision).toBe(1);
    expect(recall).toBeLessThan(0.1);
    const swapped = precisionRecall(generated, reference);
    expect([swapped.precision, swapped.recall]).toEqual([recall, precision]);
  });

  test("count a feature on the edge of a ball as inside", () => {
    expect(shareInside(line(2, 2.5, 9), line(0, 10), Float64Array.of(4, 1))).toBeCloseTo(2 / 3, 12);
  });

  test("grow with the number of neighbours", () => {
    const [a, b] = [scatteredFeatures(40, 6, 1), scatteredFeatures(40, 6, 2, 0.5)];
    const [few, many] = [1, 8].map((neighbours) => precisionRecall(a, b, { neighbours }).precision);
    expect(few).toBeLessThan(many!);
  });

  test("are refused with too few rows or different dimensions", () => {
    expect(() => precisionRecall(line(1, 2, 3), line(1, 2, 3, 4))).toThrow(/3 nearest neighbours .* got 3/);
    expect(() => precisionRecall(scatteredFeatures(9, 2, 1), scatteredFeatures(9, 3, 1))).toThrow(
      /dimension 3 .* 2|2 .* 3/,
    );
  });
});
