import { describe, expect, test } from "vitest";
import { jackknife, requireJackknifeRows } from "../../../src/evaluation/metrics/feature-rows.ts";
import { scatteredFeatures } from "./scattered-features.ts";

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

describe("the jackknife", () => {
  test("of a mean is the standard error of the group means", () => {
    const values = [...scatteredFeatures(200, 1, 4).data];
    const group = (g: number) => values.filter((_, i) => i % 10 === g);
    const others = (g: number) => values.filter((_, i) => i % 10 !== g);
    const groups = Array.from({ length: 10 }, (_, g) => g);
    const { estimate, standardError } = jackknife(
      mean(values),
      groups.map((g) => mean(others(g))),
    );
    const means = groups.map((g) => mean(group(g)));
    const expected = Math.sqrt(means.reduce((sum, m) => sum + (m - mean(means)) ** 2, 0) / (10 * 9));
    expect(estimate).toBe(mean(values));
    expect(standardError).toBeCloseTo(expected, 12);
    expect(standardError).toBeGreaterThan(0);
  });

  test("of a constant is zero", () => {
    expect(jackknife(3, new Array(10).fill(3))).toEqual({ estimate: 3, standardError: 0 });
  });

  test("needs a value for each group, and 20 rows", () => {
    expect(() => jackknife(1, [1, 2])).toThrow(/expected 10 values .* got 2/);
    expect(() => requireJackknifeRows(19)).toThrow(/at least 20 rows, got 19/);
    expect(() => requireJackknifeRows(20)).not.toThrow();
  });
});
