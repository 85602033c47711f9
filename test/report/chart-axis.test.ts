import { describe, expect, test } from "vitest";
import { logTicks, shortNumber } from "../../src/report/chart-axis.ts";

describe("ticks of a logarithmic axis", () => {
  test.each([
    ["powers of ten over many decades", [0.002, 4000], [0.001, 0.01, 0.1, 1, 10, 100, 1000, 10_000]],
    ["1, 2 and 5 over few", [0.3, 4], [0.2, 0.5, 1, 2, 5]],
    ["around a single value", [7], [5, 10]],
    ["at a value that is itself a tick", [2], [2, 5]],
    ["from 1 to 10 where nothing has a logarithm", [0, -3, Number.NaN], [1, 2, 5, 10]],
    ["around the others where something has none", [2, 0, Number.POSITIVE_INFINITY], [2, 5]],
  ])("are %s", (_, values, ticks) => {
    expect(logTicks(values)).toEqual(ticks);
  });
});

describe("a number for people", () => {
  test.each([
    [0.25, "0.25"],
    [12_000, "12K"],
    [1_500_000, "1.5M"],
    [0.0002, "2·10⁻⁴"],
    [-0.00015, "−1.5·10⁻⁴"],
    [1e-7, "10⁻⁷"],
    [-3, "−3"],
    [0.1 + 0.2, "0.3"],
    [0, "0"],
    [Number.NaN, "–"],
    [Number.POSITIVE_INFINITY, "–"],
  ])("%d is %s", (value, text) => {
    expect(shortNumber(value)).toBe(text);
  });
});
