/** The block that losses hang on most. */
import { expect, test } from "vitest";
import { decisiveBlock } from "../../src/pipeline/random-masks.ts";

const mask = (kept: number[], loss: number) => ({ kept, loss });

test("is the one between whose keepers and droppers mean losses differ most, the first of equal ones", () => {
  const masks = [mask([0, 2], 1), mask([0, 3], 2), mask([1, 2], 7), mask([1, 3], 9), mask([1, 3], Number.NaN)];
  const found = decisiveBlock(masks)!;
  expect(found).toMatchObject({ block: 0, keeps: true, divides: true });
  expect(found.better).toEqual([masks[0], masks[1]]);
  expect(found.worse).toEqual([masks[2], masks[3]]);
});

test("may be one that should go, and need not divide the losses", () => {
  const masks = [mask([0, 1], 8), mask([1, 2], 1), mask([0, 2], 9), mask([1, 3], 8.5), mask([2, 3], 0.5)];
  expect(decisiveBlock(masks)).toMatchObject({ block: 0, keeps: false, divides: false });
});

test("is none where all masks keep the same", () => {
  expect(decisiveBlock([mask([0, 1], 1), mask([0, 1], 2)])).toBeUndefined();
  expect(decisiveBlock([])).toBeUndefined();
});
