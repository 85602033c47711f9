import { describe, expect, test } from "vitest";
import { exampleIndices } from "../../src/data/training-set.ts";

function order(seed: number, size: number, batchSize: number, count: number): number[] {
  const steps = Math.ceil(count / batchSize);
  return Array.from({ length: steps }, (_, globalStep) => [...exampleIndices({ seed, size, globalStep, batchSize })])
    .flat()
    .slice(0, count);
}

describe("example order", () => {
  test("every epoch visits every example once, each in another order", () => {
    const visited = order(1, 10, 5, 30);
    const epochs = [visited.slice(0, 10), visited.slice(10, 20), visited.slice(20)];
    for (const epoch of epochs) expect(epoch.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(new Set(epochs.map(String)).size).toBe(3);
  });

  test("depends on the position only, not on the batch size", () => {
    const expected = order(3, 7, 1, 60);
    for (const batchSize of [2, 3, 7, 8, 20, 60]) expect(order(3, 7, batchSize, 60)).toEqual(expected);
  });

  test("is the same when a run jumps to a step, back, and between seeds", () => {
    const late = exampleIndices({ seed: 1, size: 100, globalStep: 50, batchSize: 16 });
    exampleIndices({ seed: 2, size: 100, globalStep: 50, batchSize: 16 });
    exampleIndices({ seed: 1, size: 99, globalStep: 50, batchSize: 16 });
    exampleIndices({ seed: 1, size: 100, globalStep: 0, batchSize: 16 });
    expect(exampleIndices({ seed: 1, size: 100, globalStep: 50, batchSize: 16 })).toEqual(late);
  });

  test("differs between seeds", () => {
    expect(order(1, 100, 100, 100)).not.toEqual(order(2, 100, 100, 100));
  });

  test("changing a returned batch does not change the next", () => {
    const at = { seed: 1, size: 4, globalStep: 0, batchSize: 4 };
    const first = exampleIndices(at);
    const copy = first.slice();
    first.fill(-1);
    expect(exampleIndices(at)).toEqual(copy);
  });

  test.each([{ size: 0 }, { batchSize: 0 }, { globalStep: -1 }, { size: 1.5 }])("%o is refused", (change) => {
    expect(() => exampleIndices({ seed: 1, size: 4, globalStep: 0, batchSize: 4, ...change })).toThrow(RangeError);
  });
});
