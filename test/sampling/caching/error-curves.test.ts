/** Relative differences of deltas, by numbers that can be worked out by hand. */
import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32 } from "../../../src/array/ndarray.ts";
import type { BranchKind } from "../../../src/sampling/caching/cached-blocks.ts";
import { CurveMeter, MAX_AGE } from "../../../src/sampling/caching/error-curves.ts";

const rows = (...values: number[][]) => float32(values.flat(), [values.length, values[0]!.length]);

describe("the error of a kind of branch", () => {
  test("is the mean of ‖a − b‖₁ / ‖a‖₁ over blocks and rows", () => {
    const kinds = new Map<string, BranchKind>([
      ["0", "attention"],
      ["1", "attention"],
      ["m", "mlp"],
    ]);
    const meter = new CurveMeter(kinds, 2);
    const from = { 0: rows([1, -1], [2, 2]), 1: rows([4, 0], [0, -5]), m: rows([1, 1], [1, 1]) };
    const to = { 0: rows([1, -2], [2, 2]), 1: rows([0, 0], [5, 0]), m: rows([1, 1], [0, 1]) };
    meter.compare(0, 1, [from, to], 2, 2);
    // 1/2 and 0, 4/4 and 10/5; 0 and 1/2.
    expect(meter.errors()).toEqual({ attention: [[0.875], []], mlp: [[0.25], []] });
  });

  test("does not see padding, which guidance has twice", () => {
    const meter = new CurveMeter(new Map([["0", "mlp"]]), 2);
    const [from, to] = [rows([1], [1], [1], [1]), rows([2], [100], [4], [100])];
    meter.compare(0, 1, [{ 0: from }, { 0: to }], 2, 1);
    expect(meter.errors()).toEqual({ attention: [], mlp: [[2], []] });
  });

  test("is the mean over batches, of each pair of evaluations apart, up to the largest age", () => {
    const meter = new CurveMeter(new Map([["0", "mlp"]]), 6);
    const far = (x: number) => [{ 0: rows([1], [1]) }, { 0: rows([1 + x], [1 + x]) }] as const;
    for (const batch of [0, 1]) {
      for (let i = 0; i < 6; i++) {
        for (let age = 1; age <= MAX_AGE && i + age < 6; age++) meter.compare(i, age, far(10 * i + age + batch), 2, 2);
      }
    }
    expect(meter.errors().mlp).toEqual([
      [1.5, 2.5, 3.5],
      [11.5, 12.5, 13.5],
      [21.5, 22.5, 23.5],
      [31.5, 32.5],
      [41.5],
      [],
    ]);
  });

  test("is 0 where nothing is and nothing comes, and large where something comes", () => {
    const meter = new CurveMeter(new Map([["0", "mlp"]]), 3);
    meter.compare(0, 1, [{ 0: rows([0], [0]) }, { 0: rows([0], [0]) }], 2, 2);
    meter.compare(0, 2, [{ 0: rows([0], [0]) }, { 0: rows([1], [1]) }], 2, 2);
    meter.compare(1, 1, [{ 0: rows([1], [1]) }, { 0: rows([1], [1]) }], 2, 2);
    const [[none, some]] = meter.errors().mlp as [number[]];
    expect(none).toBe(0);
    expect(some).toBeGreaterThan(1000);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])("is refused where a delta is %d", (value) => {
    const meter = new CurveMeter(new Map([["delta.3.mlp", "mlp"]]), 2);
    const compare = () =>
      meter.compare(0, 1, [{ "delta.3.mlp": rows([1], [1]) }, { "delta.3.mlp": rows([value], [1]) }], 2, 2);
    expect(compare).toThrow(InputError);
    expect(compare).toThrow("delta.3.mlp is not finite at evaluation 0 or 1");
  });
});
