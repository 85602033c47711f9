import { describe, expect, test } from "vitest";
import { argmax, meanOf, roundHalfEven, sumOf } from "../../src/array/reduce.ts";

describe("numbers are", () => {
  test("summed in order, and averaged", () => {
    expect(sumOf([])).toBe(0);
    expect(sumOf([1e16, 1, -1e16])).toBe(0); // the 1 is lost, as in float64 from left to right
    expect(meanOf([1, 2, 6])).toBe(3);
  });

  test("rounded to the nearest, of two equally near ones to the even one, as Python does", () => {
    expect([0.5, 1.5, 2.5, -0.5, -1.5, 2.4, 2.6, -2.4, 7].map(roundHalfEven).map((x) => x + 0)).toEqual([
      0, 2, 2, 0, -2, 2, 3, -2, 7,
    ]);
  });

  test("compared: the first of the largest is found", () => {
    expect(argmax([1, 3, 2, 3])).toBe(1);
  });
});
