import { describe, expect, it } from "vitest";
import { keepHighest, keptInStacks, lastBlocks, parseBudget } from "../../src/pruning/budget.ts";
import { parseGroups } from "../../src/pruning/groups.ts";

describe("a plain budget", () => {
  it.each([
    ["14", [28], [14]],
    ["16", [16, 16], [8, 8]],
    ["7,3", [16, 16], [7, 3]],
    ["3", [2, 4], [1, 2]],
    ["5", [4, 4], [3, 2]],
    ["2", [2, 20], [1, 1]],
    ["6", [2, 4], [2, 4]],
  ])("%s of stacks %j keeps %j", (text, stacks, kept) => {
    const groups = parseBudget(text, stacks);
    expect(keptInStacks(groups, stacks)).toEqual(kept);
    expect(groups.map(({ size }) => size)).toEqual(stacks);
    expect(groups.map(({ start }) => start)).toEqual(
      stacks.map((_, i) => stacks.slice(0, i).reduce((a, b) => a + b, 0)),
    );
  });

  it.each([
    ["0", [4], /`keep` 0: expected a number from 1 to 4; the model has 4 blocks/],
    ["5", [4], /expected a number from 1 to 4/],
    ["half", [4], /`keep` half: expected a number from 1 to 4/],
    ["2,2", [4], /expected one number, or one for each of 1 stacks/],
    ["1", [2, 2], /expected a number from 2 to 4; the model has 2 \+ 2 blocks/],
    ["1,3", [2, 2], /expected a number from 1 to 2 for stack 2/],
    ["0,2", [2, 2], /expected a number from 1 to 2 for stack 1/],
  ])("%s of stacks %j is refused", (text, stacks, message) => {
    expect(() => parseBudget(text, stacks)).toThrow(message);
  });
});

describe("the highest scores", () => {
  const scores = [5, 1, 4, 3];

  it("stay, in the whole stack or in each group", () => {
    expect(keepHighest(scores, parseBudget("2", 4))).toEqual([0, 2]);
    expect(keepHighest(scores, parseGroups("1:2", 4))).toEqual([0, 2]);
    expect(keepHighest([5, 4, 3, 1], parseGroups("1:2", 4))).toEqual([0, 2]);
    expect(keepHighest([5, 4, 3, 1], parseBudget("2", 4))).toEqual([0, 1]);
  });

  it("stay behind blocks that always do", () => {
    expect(lastBlocks([2, 2])).toEqual([1, 3]);
    expect(keepHighest(scores, parseBudget("2", 4), [1])).toEqual([0, 1]);
    expect(keepHighest(scores, parseGroups("1:2", 4), lastBlocks([2, 2]))).toEqual([1, 3]);
  });

  it("of equal ones the first", () => {
    expect(keepHighest([2, 2, 2, 2], parseBudget("3", 4))).toEqual([0, 1, 2]);
  });

  it("must be numbers", () => {
    expect(() => keepHighest([1, Number.NaN, 2, 3], parseBudget("2", 4))).toThrow(/score of block 1 is NaN/);
  });
});
