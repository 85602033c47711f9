/** `expect(actual).toMatchGolden(expected, …)`: arrays agree with a stored reference, measured against its largest element. */
import { expect } from "vitest";
import { NDArray } from "../../src/array/ndarray.ts";

/** What {@link NDArray}s are compared by: fails where max|a − b| exceeds both `relative` · max|b| and `floor`. */
export interface GoldenTolerance {
  readonly relative: number;
  /** An absolute difference that is always allowed, in the tensor's unit; {@link groupFloor} makes one. Default 0. */
  readonly floor?: number;
}

declare module "vitest" {
  // biome-ignore lint/suspicious/noExplicitAny: vitest declares it so, and declarations merge only if they agree
  interface Matchers<T = any> {
    toMatchGolden(expected: NDArray, tolerance: GoldenTolerance): void;
  }
}

/** 1e-7 times the largest magnitude among the tensors of one group (some gradients are zero in exact arithmetic). */
export function groupFloor(group: Iterable<NDArray>): number {
  let largest = 0;
  for (const tensor of group) {
    for (const value of tensor.data) largest = Math.max(largest, Math.abs(Number(value)));
  }
  return 1e-7 * largest;
}

/** How far `actual` is from `expected`: the largest difference, where, and the largest magnitude of `expected`. */
export interface Distance {
  readonly difference: number;
  readonly magnitude: number;
  /** Flat index of the worst element; −1 for arrays without elements. */
  readonly worst: number;
}

/** Compares element by element; where either side is not finite they must be the same value, else the difference is infinite. */
export function distance(actual: ArrayLike<number | bigint>, expected: ArrayLike<number | bigint>): Distance {
  let difference = -1;
  let magnitude = 0;
  let worst = -1;
  for (let i = 0; i < expected.length; i++) {
    const a = Number(actual[i]);
    const b = Number(expected[i]);
    if (Number.isFinite(b)) magnitude = Math.max(magnitude, Math.abs(b));
    const gap = Math.abs(a - b);
    const apart =
      Number.isNaN(gap) || gap === Number.POSITIVE_INFINITY ? (Object.is(a, b) ? 0 : Number.POSITIVE_INFINITY) : gap;
    if (apart > difference) [difference, worst] = [apart, i];
  }
  return { difference: Math.max(difference, 0), magnitude, worst };
}

expect.extend({
  toMatchGolden(received: unknown, expected: NDArray, { relative, floor = 0 }: GoldenTolerance) {
    const actual = received instanceof NDArray ? received.data : (received as ArrayLike<number>);
    const shape = received instanceof NDArray ? received.shape : [actual.length];
    const wanted = received instanceof NDArray ? expected.shape : [expected.size];
    if (shape.join() !== wanted.join()) {
      return { pass: false, message: () => `expected shape [${wanted}], received [${shape}]` };
    }
    const { difference, magnitude, worst } = distance(actual, expected.data);
    return {
      pass: difference <= Math.max(relative * magnitude, floor),
      message: () =>
        `max|a-b| / max|b| is ${(difference / magnitude).toExponential(2)} (allowed ${this.isNot ? "not " : ""}` +
        `${relative}), max|a-b| is ${difference.toExponential(2)} (floor ${floor.toExponential(2)})\n` +
        `at [${position(worst, expected.shape)}]: received ${actual[worst]}, expected ${expected.data[worst]}`,
    };
  },
});

function position(flat: number, shape: readonly number[]): number[] {
  const indices: number[] = [];
  let rest = flat;
  for (const size of shape.toReversed()) {
    indices.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return indices;
}
