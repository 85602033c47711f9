/** The probability flow on a fixed grid: Euler's and Heun's method. N batch; states [N, …], times [N]. */
import { InputError } from "../../array/input-error.ts";
import { float32, type NDArray } from "../../array/ndarray.ts";
import type { Interval } from "./path.ts";

/** The velocity at x [N, …] and t [N], of x's shape. */
export type EvaluateVelocity = (x: NDArray, t: NDArray) => Promise<NDArray>;

export const odeMethods = ["euler", "heun"] as const;
export type OdeMethod = (typeof odeMethods)[number];

/** `points` evenly spaced times, both ends included: one step less than points. @throws InputError below 2 points. */
export function timeGrid([from, to]: Interval, points: number): Float64Array {
  if (!Number.isInteger(points) || points < 2) {
    throw new InputError(`flow sampler: expected at least 2 points in time, got ${points}`);
  }
  return Float64Array.from({ length: points }, (_, k) => from + ((to - from) * k) / (points - 1));
}

/** The same time for every row of x. */
export const timeOf = (x: NDArray, t: number): NDArray => float32(new Float32Array(x.shape[0]!).fill(t), [x.shape[0]!]);

/** x + Σ factor · y, element by element. */
export function addScaled(x: NDArray, ...terms: readonly (readonly [factor: number, y: NDArray])[]): NDArray {
  const sum = Float32Array.from(x.data as Float32Array);
  for (const [factor, y] of terms) {
    for (let i = 0; i < sum.length; i++) sum[i]! += factor * (y.data[i] as number);
  }
  return float32(sum, x.shape);
}

type Step = (evaluate: EvaluateVelocity, x: NDArray, t: number, next: number) => Promise<NDArray>;

const steps: { readonly [K in OdeMethod]: Step } = {
  async euler(evaluate, x, t, next) {
    return addScaled(x, [next - t, await evaluate(x, timeOf(x, t))]);
  },
  /** The explicit trapezoid: the mean of the slopes at both ends of an Euler step. */
  async heun(evaluate, x, t, next) {
    const first = await evaluate(x, timeOf(x, t));
    const last = await evaluate(addScaled(x, [next - t, first]), timeOf(x, next));
    return addScaled(x, [(next - t) / 2, first], [(next - t) / 2, last]);
  },
};

/** Integrates x over `times`, which may fall too; `onState` sees the state after step k = 0, 1, …. */
export async function integrateFixed(
  evaluate: EvaluateVelocity,
  start: NDArray,
  times: ArrayLike<number>,
  method: OdeMethod,
  onState?: (x: NDArray, k: number) => void,
): Promise<NDArray> {
  let x = start;
  for (let k = 0; k + 1 < times.length; k++) {
    x = await steps[method](evaluate, x, times[k]!, times[k + 1]!);
    onState?.(x, k);
  }
  return x;
}
