import { describe, expect, test } from "vitest";
import { labelsFrom } from "../../../src/sampling/generation/labels.ts";

describe("labels", () => {
  test("are a function of seed and number, so more of them begin with the same", () => {
    const plan = { mode: "uniform", classes: [4, 7, 9], seed: 3 } as const;
    const many = labelsFrom(plan, 3000);
    expect([...labelsFrom(plan, 10)]).toEqual([...many.subarray(0, 10)]);
    expect([...labelsFrom({ ...plan, seed: 4 }, 3000)]).not.toEqual([...many]);
    for (const label of plan.classes) {
      const share = many.filter((one) => one === label).length / many.length;
      expect(Math.abs(share - 1 / 3)).toBeLessThan(4 * Math.sqrt(2 / 9 / 3000));
    }
  });

  test("balanced take the classes in turn", () => {
    expect([...labelsFrom({ mode: "balanced", classes: [4, 7, 9], seed: 3 }, 5)]).toEqual([4, 7, 9, 4, 7]);
  });
});
