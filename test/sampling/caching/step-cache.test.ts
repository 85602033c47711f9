/** Schedules from error curves that are written down here. */
import { describe, expect, test } from "vitest";
import { agesAt } from "../../../src/sampling/caching/error-curves.ts";
import { cacheSchedule, reusedAt } from "../../../src/sampling/caching/step-cache.ts";

const EVALUATIONS = 9;
/** The error of reusing evaluation i for `age` steps is a number of both. */
const errorsOf = (error: (i: number, age: number) => number, evaluations = EVALUATIONS) =>
  Array.from({ length: evaluations }, (_, i) =>
    Array.from({ length: agesAt(i, evaluations) }, (_age, k) => error(i, k + 1)),
  );
const computed = (reused: readonly boolean[]) => reused.flatMap((isReused, i) => (isReused ? [] : [i]));
const flat = errorsOf((_, age) => age / 10);

describe("a kind of branch", () => {
  test.each([
    [0, [0, 1, 2, 3, 4, 5, 6, 7, 8]],
    [0.1, [0, 1, 2, 3, 4, 5, 6, 7, 8]], // below the tolerance, not at it
    [0.15, [0, 2, 4, 6, 8]],
    [0.25, [0, 3, 6, 8]],
    [0.35, [0, 4, 8]],
    [1000, [0, 4, 8]], // three evaluations at most
  ])("that changes by 0.1 an evaluation is computed, at tolerance %d, in %o", (tolerance, wanted) => {
    const { attention } = cacheSchedule({ attention: flat, mlp: [] }, EVALUATIONS, tolerance);
    expect(computed(attention)).toEqual(wanted);
  });

  test("is judged by how long ago it was computed, not by its neighbour", () => {
    // Evaluation 2 is close to 1, but far from 0, which is what would be used.
    const errors = errorsOf((i, age) => (i === 0 && age === 2 ? 0.9 : 0.1));
    const { attention } = cacheSchedule({ attention: errors, mlp: [] }, EVALUATIONS, 0.5);
    expect(computed(attention)).toEqual([0, 2, 6, 8]);
  });

  test("is always computed at both ends", () => {
    for (const evaluations of [1, 2, 3, 5]) {
      const { mlp } = cacheSchedule({ attention: [], mlp: errorsOf(() => 0, evaluations) }, evaluations, 1);
      expect([mlp[0], mlp.at(-1)]).toEqual([false, false]);
    }
  });

  test("of which a model has none is never reused", () => {
    const schedule = cacheSchedule({ attention: [], mlp: flat }, EVALUATIONS, 1);
    expect(schedule.attention).toEqual(new Array(EVALUATIONS).fill(false));
    expect(schedule.mlp).toContain(true);
  });
});

test("each kind has its own schedule: of two kinds there are at most four sets", () => {
  const slow = errorsOf((_, age) => age / 20);
  const schedule = cacheSchedule({ attention: flat, mlp: slow }, EVALUATIONS, 0.15);
  const sets = Array.from({ length: EVALUATIONS }, (_, i) => reusedAt(schedule, i).join(" "));
  expect(sets).toEqual(["", "attention mlp", "mlp", "attention", "mlp", "attention mlp", "", "attention mlp", ""]);
});
