import { expect, test } from "vitest";
import { float32, NDArray, stackedRows } from "../../src/array/ndarray.ts";

test("rows are stacked in order, and what is stacked is a copy", () => {
  const [a, b] = [float32([1, 2, 3, 4], [2, 2]), float32([5, 6], [1, 2])];
  const both = stackedRows([a, b]);
  expect([both.shape, [...both.data]]).toEqual([
    [3, 2],
    [1, 2, 3, 4, 5, 6],
  ]);
  a.data[0] = 9;
  expect(both.data[0]).toBe(1);
});

test("rows of any element type are stacked", () => {
  const part = new NDArray("int64", [1, 1], BigInt64Array.of(2n ** 60n));
  expect(stackedRows([part, part])).toEqual(new NDArray("int64", [2, 1], BigInt64Array.of(2n ** 60n, 2n ** 60n)));
});
