import { describe, expect, test } from "vitest";
import { integers } from "../../../src/array/random.ts";
import { paretoFront } from "../../../src/tasks/pareto/front.ts";

const at = (seconds: number, distance: number) => ({ seconds, distance });

describe("the front", () => {
  test("is what no other point beats, from fast to slow", () => {
    const points = [at(3, 1), at(1, 9), at(2, 4), at(2, 5), at(4, 1), at(1, 10), at(5, 2)];
    expect(paretoFront(points)).toEqual([at(1, 9), at(2, 4), at(3, 1)]);
  });

  test("has one of equal points, and none that is not finite", () => {
    expect(paretoFront([at(1, 1), at(1, 1), at(Number.NaN, 0), at(0, Number.POSITIVE_INFINITY)])).toEqual([at(1, 1)]);
    expect(paretoFront([])).toEqual([]);
  });

  test("agrees with the definition on random points", () => {
    const numbers = integers({ seed: 5, purpose: "points", step: 0, index: 0 }, 120, 12);
    const points = Array.from({ length: 60 }, (_, i) => at(numbers[2 * i]!, numbers[2 * i + 1]!));
    const beaten = (p: (typeof points)[number]) =>
      points.some(
        (q) => q.seconds <= p.seconds && q.distance <= p.distance && (q.seconds < p.seconds || q.distance < p.distance),
      );
    const expected = new Set(points.filter((p) => !beaten(p)).map(({ seconds, distance }) => `${seconds} ${distance}`));
    const found = paretoFront(points).map(({ seconds, distance }) => `${seconds} ${distance}`);
    expect(found.length).toBe(expected.size);
    expect(new Set(found)).toEqual(expected);
  });
});
