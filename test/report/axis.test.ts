import { describe, expect, test } from "vitest";
import { formatNumber, linearAxis, logAxis } from "../../src/report/axis.ts";

const labels = (axis: { readonly ticks: readonly { readonly label: string }[] }) =>
  axis.ticks.map(({ label }) => label);

describe("a linear axis", () => {
  test("has ticks at 1, 2 or 5 times a power of ten and ends at them", () => {
    const axis = linearAxis([0.13, 1.06]);
    expect(labels(axis)).toEqual(["0", "0.2", "0.4", "0.6", "0.8", "1.0", "1.2"]);
    expect(axis.position(0)).toBe(0);
    expect(axis.position(1.2)).toBeCloseTo(1, 12);
    expect(axis.position(0.6)).toBeCloseTo(0.5, 12);
  });

  test("ends at the data if snug, with ticks inside", () => {
    const axis = linearAxis([50, 14950], { snug: true });
    expect(labels(axis)).toEqual(["5k", "10k"]);
    expect([axis.position(50), axis.position(14950)]).toEqual([0, 1]);
  });

  test("crosses zero with a proper minus", () => {
    expect(labels(linearAxis([-0.4, 0.3]))).toEqual(["−0.4", "−0.2", "0", "0.2", "0.4"]);
  });

  test("puts a single value in the middle", () => {
    expect(linearAxis([7], { snug: true }).position(7)).toBeCloseTo(0.5, 12);
    expect(linearAxis([0], { snug: true }).position(0)).toBeCloseTo(0.5, 12);
    expect(linearAxis([1e6, 1e6]).ticks.length).toBeGreaterThan(1);
  });

  test("ignores values that are not finite, and goes from 0 to 1 if none is left", () => {
    expect(labels(linearAxis([Number.NaN, 0, 10, Number.POSITIVE_INFINITY]))).toEqual(["0", "2", "4", "6", "8", "10"]);
    expect(labels(linearAxis([Number.NaN]))).toEqual(["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
  });

  test.each([
    [0, 1e-12],
    [1e9, 1e9 + 1],
    [-1e300, 1e300],
    [0.1, 0.1 + 1e-17],
  ])("stays sane between %d and %d", (low, high) => {
    for (const snug of [true, false]) {
      const { ticks, position } = linearAxis([low, high], { snug });
      expect(ticks.length).toBeLessThan(15);
      expect(new Set(ticks.map(({ value }) => value)).size).toBe(ticks.length);
      expect(Number.isFinite(position(low))).toBe(true);
    }
  });
});

describe("a logarithmic axis", () => {
  test("has ticks at powers of ten over many decades", () => {
    const axis = logAxis([0.002, 4000]);
    expect(labels(axis)).toEqual(["0.001", "0.01", "0.1", "1", "10", "100", "1000", "10k"]);
    expect(axis.position(1)).toBeCloseTo(3 / 7, 12);
  });

  test("has ticks at 1, 2 and 5 over few", () => {
    expect(labels(logAxis([0.3, 4]))).toEqual(["0.2", "0.5", "1", "2", "5"]);
  });

  test("ignores what has no logarithm", () => {
    expect(labels(logAxis([0, -3, Number.NaN]))).toEqual(["1", "2", "5", "10"]);
    expect(labels(logAxis([2, 0]))).toEqual(["2", "5"]);
  });

  test("keeps at most nine ticks over very many decades", () => {
    expect(logAxis([1e-30, 1e30]).ticks.length).toBeLessThanOrEqual(9);
  });
});

describe("a number for people", () => {
  test.each([
    [0.25, 0.05, "0.25"],
    [12_000, 1000, "12k"],
    [1_500_000, 100_000, "1.5M"],
    [0.0002, 0.0001, "2·10⁻⁴"],
    [1e-7, 1e-7, "10⁻⁷"],
    [-3, 1, "−3"],
    [0, 0.1, "0"],
    [Number.NaN, 1, "–"],
    [Number.POSITIVE_INFINITY, 1, "–"],
  ])("%d in steps of %d is %s", (value, step, text) => {
    expect(formatNumber(value, step)).toBe(text);
  });
});
