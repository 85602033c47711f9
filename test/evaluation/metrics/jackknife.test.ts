import { describe, expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import { jackknife } from "../../../src/evaluation/metrics/jackknife.ts";
import { scatteredFeatures } from "./scattered-features.ts";

function mean(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

describe("the jackknife", () => {
  test("of a mean is the standard error of the group means", () => {
    const features = scatteredFeatures(200, 1, 4);
    const { estimate, standardError } = jackknife(features, ({ data }) => mean(data));
    const groups = Array.from({ length: 10 }, (_, g) => mean(features.data.filter((_, i) => i % 10 === g)));
    const centre = mean(Float32Array.from(groups));
    const expected = Math.sqrt(groups.reduce((sum, m) => sum + (m - centre) ** 2, 0) / (10 * 9));
    expect(estimate).toBeCloseTo(mean(features.data), 12);
    expect(standardError).toBeCloseTo(expected, 6);
    expect(standardError).toBeGreaterThan(0);
  });

  test("of a constant is zero", () => {
    expect(jackknife(scatteredFeatures(20, 2, 1), () => 3)).toEqual({ estimate: 3, standardError: 0 });
  });

  test("hands over whole rows, every one left out exactly once", () => {
    const n = 25;
    const numbered = float32(
      Float32Array.from({ length: n * 2 }, (_, i) => Math.floor(i / 2)),
      [n, 2],
    );
    const seen = new Array<number>(n).fill(0);
    jackknife(numbered, ({ data, shape }) => {
      expect(shape).toEqual([data.length / 2, 2]);
      for (let i = 0; i < data.length; i += 2) {
        expect(data[i]).toBe(data[i + 1]);
        seen[data[i]!]!++;
      }
      return 0;
    });
    expect(seen).toEqual(new Array(n).fill(10)); // nine of ten groups, and once all rows
  });

  test("needs 20 rows", () => {
    expect(() => jackknife(scatteredFeatures(19, 2, 1), () => 0)).toThrow(/at least 20 rows, got 19/);
  });
});
