import { describe, expect, test } from "vitest";
import { agreementOf, holm, lastFlip, meanOf, meanText, rankCorrelation, signFlipTest } from "../src/statistics.ts";

describe("the sign-flip test", () => {
  test("counts all patterns, as by hand", () => {
    // Sums of ±1 ±2 ±1: 4, 2, 0, −2, 2, 0, −2, −4; the observed one is 2.
    const { n, mean, standardError, oneSided, twoSided } = signFlipTest([1, 2, -1]);
    expect([n, oneSided, twoSided]).toEqual([3, 3 / 8, 6 / 8]);
    expect(mean).toBeCloseTo(2 / 3, 12);
    expect(standardError).toBeCloseTo(Math.sqrt((1 / 9 + 16 / 9 + 25 / 9) / 2 / 3), 12);
  });

  test("eight differences of one sign have the smallest p-values there are", () => {
    const differences = [3, 1, 4, 1.5, 9, 2, 6, 5];
    expect(signFlipTest(differences)).toMatchObject({ oneSided: 1 / 256, twoSided: 2 / 256 });
    expect(signFlipTest(differences.map((d) => -d))).toMatchObject({ oneSided: 1, twoSided: 2 / 256 });
  });

  test("equal sums count as equal however they are rounded, and no difference at all decides nothing", () => {
    // In floating point 0.1 + 0.2 − 0.3 is not 0, and its mirror image is another number.
    expect(signFlipTest([0.1, 0.2, -0.3])).toMatchObject({ oneSided: 5 / 8, twoSided: 1 });
    expect(signFlipTest([0, 0])).toMatchObject({ oneSided: 1, twoSided: 1 });
  });

  test.each([[[]], [[1, Number.NaN]], [[Number.POSITIVE_INFINITY]], [new Array(21).fill(1)]])("refuses %j", (bad) => {
    expect(() => signFlipTest(bad)).toThrow(/expected 1 to 20 finite differences/);
  });
});

describe("Holm's correction", () => {
  test("multiplies the smallest by all, the next by one less, and never falls", () => {
    expect(holm([0.01, 0.04, 0.03])).toEqual([0.03, 0.06, 0.06]);
    expect(holm([1 / 256, 1 / 256, 1 / 256])).toEqual([3 / 256, 3 / 256, 3 / 256]);
    expect(holm([0.5, 0.02, 0.9])).toEqual([1, 0.06, 1]);
    expect(holm([])).toEqual([]);
  });
});

describe("means", () => {
  test("have the error of the mean, none for one value, and are a dash for none", () => {
    expect(meanOf([2, 4, 9])).toEqual({ n: 3, mean: 5, standardError: Math.sqrt(26 / 2 / 3) });
    expect([meanText(meanOf([2, 4, 9])), meanText(meanOf([2.34]), 2), meanText(meanOf([]))]).toEqual([
      "5.0 ± 2.1",
      "2.34",
      "–",
    ]);
  });
});

describe("searches", () => {
  test("agree by the share of blocks that are decided alike, over all pairs", () => {
    const masks = [
      [0, 2],
      [0, 2],
      [1, 3],
    ];
    expect(agreementOf(masks, 4)).toBeCloseTo(1 / 3, 12); // 1, 0, 0
    expect(agreementOf([[0], [1]], 4)).toBe(0.5);
    expect(agreementOf([[0]], 4)).toBeNaN();
  });

  test("have settled after their last change", () => {
    expect([lastFlip([10, 30], 120), lastFlip([], 120)]).toEqual([0.25, 0]);
  });
});

describe("rank correlation", () => {
  test("looks at order alone", () => {
    expect(rankCorrelation([1, 2, 3], [1, 10, 1000])).toBeCloseTo(1, 12);
    expect(rankCorrelation([1, 2, 3], [9, 8, -1])).toBeCloseTo(-1, 12);
    // 1 − 6 · (1 + 1 + 0 + 1 + 1) ÷ (5 · 24)
    expect(rankCorrelation([1, 2, 3, 4, 5], [2, 1, 3, 5, 4])).toBeCloseTo(0.8, 12);
  });

  test("gives equal values the mean of their places", () => {
    // Places 0.5, 0.5, 2 against 0, 1, 2: the deviations' product 1.5 by √(1.5 · 2).
    expect(rankCorrelation([4, 4, 7], [1, 2, 3])).toBeCloseTo(1.5 / Math.sqrt(3), 12);
    expect(rankCorrelation([1, 1], [1, 2])).toBeNaN();
    expect(() => rankCorrelation([1], [1, 2])).toThrow(/one length, got 1 and 2/);
  });
});
