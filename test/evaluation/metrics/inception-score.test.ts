import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32, type NDArray } from "../../../src/array/ndarray.ts";
import { jackknife } from "../../../src/evaluation/metrics/feature-rows.ts";
import { inceptionScore, inceptionScoreJackknife } from "../../../src/evaluation/metrics/inception-score.ts";
import { scatteredFeatures } from "./scattered-features.ts";

/** Rows that are sure of one class each. */
function sure(classes: readonly number[], k: number): NDArray<"float32"> {
  const data = new Float32Array(classes.length * k);
  for (const [i, one] of classes.entries()) data[i * k + one] = 1;
  return float32(data, [classes.length, k]);
}

/** Softmax of scattered logits. */
function unsure(n: number, k: number, seed: number): NDArray<"float32"> {
  const data = scatteredFeatures(n, k, seed).data.map((x) => Math.exp(3 * x));
  for (let i = 0; i < n; i++) {
    const row = data.subarray(i * k, (i + 1) * k);
    const total = row.reduce((sum, x) => sum + x, 0);
    for (let j = 0; j < k; j++) row[j]! /= total;
  }
  return float32(data, [n, k]);
}

const inTurn = (n: number, k: number) => Array.from({ length: n }, (_, i) => i % k);

describe("the Inception Score", () => {
  test("is the number of classes for sure and balanced rows", () => {
    const { score, standardDeviation, splits } = inceptionScore(sure(inTurn(40, 8), 8));
    expect(score).toBeCloseTo(8, 12);
    expect([standardDeviation, splits]).toEqual([0, 1]);
  });

  test("is 1 where all rows are alike, sure or not", () => {
    expect(inceptionScore(float32(new Float32Array(60).fill(1 / 6), [10, 6])).score).toBeCloseTo(1, 12);
    expect(inceptionScore(sure([2, 2, 2], 6)).score).toBeCloseTo(1, 12);
  });

  test("is the exponential of the mean divergence from the marginal", () => {
    const [n, k] = [30, 5];
    const { data } = unsure(n, k, 2);
    const probabilities = float32(data, [n, k]);
    const p = (i: number, j: number) => data[i * k + j]!;
    const marginal = Array.from({ length: k }, (_, j) => inTurn(n, n).reduce((sum, i) => sum + p(i, j), 0) / n);
    let divergence = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < k; j++) divergence += (p(i, j) * (Math.log(p(i, j)) - Math.log(marginal[j]!))) / n;
    }
    expect(inceptionScore(probabilities).score).toBeCloseTo(Math.exp(divergence), 12);
  });

  test("averages splits, of which a shorter last one counts as much", () => {
    const rows = sure([0, 1, 0, 1, 0, 1, 2, 2], 3); // splits of 3: 2^h(1/3), 2^h(1/3), 1
    const { score, standardDeviation, splits } = inceptionScore(rows, { splitSize: 3 });
    const uneven = Math.exp(-(Math.log(1 / 3) + 2 * Math.log(2 / 3)) / 3);
    expect(splits).toBe(3);
    expect(score).toBeCloseTo((2 * uneven + 1) / 3, 12);
    expect(standardDeviation).toBeCloseTo((uneven - 1) * Math.sqrt(2 / 9), 12);
    expect(inceptionScore(sure(inTurn(10_000, 4), 4)).splits).toBe(2);
    expect(inceptionScore(sure(inTurn(10_001, 4), 4)).splits).toBe(3);
  });

  test("has the standard error of leaving rows out by hand", () => {
    const [n, k] = [57, 4];
    const probabilities = unsure(n, k, 5);
    const leftOut = Array.from({ length: 10 }, (_, group) => {
      const kept = inTurn(n, n).filter((i) => i % 10 !== group);
      const data = Float32Array.from(kept.flatMap((i) => [...probabilities.data.subarray(i * k, (i + 1) * k)]));
      return inceptionScore(float32(data, [kept.length, k]), { splitSize: 20 }).score;
    });
    const expected = jackknife(inceptionScore(probabilities, { splitSize: 20 }).score, leftOut);
    const found = inceptionScoreJackknife(probabilities, 20);
    expect(found.estimate).toBe(expected.estimate);
    expect(found.standardError).toBeCloseTo(expected.standardError, 12);
    expect(found.standardError).toBeGreaterThan(1e-3);
  });

  test.each([
    ["logits", float32([2, -1, 0, 1], [2, 2]), /sum to 1, found others in row 0/],
    ["rows that are not finite", float32([1, 0, Number.NaN, 1], [2, 2]), /in row 1/],
    ["no rows", float32([], [0, 3]), /at least 1 row/],
    ["one axis", float32([1]), /\[n, K\]/],
  ])("refuses %s", (_, wrong, message) => {
    expect(() => inceptionScore(wrong)).toThrow(InputError);
    expect(() => inceptionScore(wrong)).toThrow(message);
  });

  test("refuses splits of no rows, and a jackknife of few", () => {
    expect(() => inceptionScore(sure([0, 1], 2), { splitSize: 0 })).toThrow(/positive whole split size, got 0/);
    expect(() => inceptionScoreJackknife(sure([0, 1], 2), 2)).toThrow(/at least 20 rows, got 2/);
  });
});
