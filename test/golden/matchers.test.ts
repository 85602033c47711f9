import { describe, expect, test } from "vitest";
import { float32, int32 } from "../../src/array/ndarray.ts";
import { groupFloor } from "./matchers.ts";

const expected = float32([1, 2, -4, 3], [2, 2]);

describe("toMatchGolden", () => {
  test("allows a difference of relative · the largest magnitude, and no more", () => {
    expect(float32([1.03, 2, -4, 3], [2, 2])).toMatchGolden(expected, { relative: 1e-2 });
    expect(float32([1.05, 2, -4, 3], [2, 2])).not.toMatchGolden(expected, { relative: 1e-2 });
  });

  test("allows a difference below the floor where the reference is zero", () => {
    const zero = float32([0, 0]);
    const floor = groupFloor([float32([1e-3]), int32([-50])]);
    expect(floor).toBeCloseTo(5e-6, 12);
    expect([0, 4e-6]).toMatchGolden(zero, { relative: 1e-3, floor });
    expect([0, 6e-6]).not.toMatchGolden(zero, { relative: 1e-3, floor });
    expect([0, 1e-30]).not.toMatchGolden(zero, { relative: 1e-3 });
  });

  test("reports both sides at the worst element", () => {
    const compare = () => expect(float32([1, 2.5, -4, 8], [2, 2])).toMatchGolden(expected, { relative: 1e-3 });
    expect(compare).toThrow(/is 1\.25e\+0[\s\S]*at \[1,1\]: received 8, expected 3/);
  });

  test("fails for NaN, for a missing element and for another shape", () => {
    expect([1, Number.NaN, -4, 3]).not.toMatchGolden(expected, { relative: 1 });
    expect([1, 2, -4]).not.toMatchGolden(expected, { relative: 1 });
    expect(expected.reshape([4])).not.toMatchGolden(expected, { relative: 1 });
  });

  test("asks elements that are not finite to be the same", () => {
    const special = float32([1, Number.NaN, Number.POSITIVE_INFINITY]);
    expect([1, Number.NaN, Number.POSITIVE_INFINITY]).toMatchGolden(special, { relative: 0 });
    expect([1, Number.NaN, Number.NEGATIVE_INFINITY]).not.toMatchGolden(special, { relative: 1 });
    expect([1, 0, Number.POSITIVE_INFINITY]).not.toMatchGolden(special, { relative: 1 });
  });
});
