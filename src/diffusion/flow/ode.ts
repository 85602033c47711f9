/** The probability flow on a fixed grid: Euler's and Heun's method. N batch; states [N, …], times [N]. */
import { InputError } from "../../array/input-error.ts";
import { float32, type NDArray } from "../../array/ndarray.ts";
import type { DeviceArray } from "../../engine/engine.ts";
import type { Interval } from "./path.ts";
import type { States } from "./states.ts";

/** The velocity at x [N, …] and t [N], of x's shape. */
export type EvaluateVelocity = (x: DeviceArray, t: NDArray) => Promise<DeviceArray>;

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
export const timeOf = ({ shape: [rows] }: DeviceArray, t: number): NDArray =>
  float32(new Float32Array(rows!).fill(t), [rows!]);

type Step = (states: States, slope: Slope, x: DeviceArray, t: number, next: number) => Promise<DeviceArray>;
/** The velocity, or drift, at one time of all rows. */
export type Slope = (x: DeviceArray, t: number) => Promise<DeviceArray>;

const steps: { readonly [K in OdeMethod]: Step } = {
  euler: async (states, slope, x, t, next) => states.addScaled(x, [next - t, await slope(x, t)]),
  /** The explicit trapezoid: the mean of the slopes at both ends of an Euler step. */
  async heun(states, slope, x, t, next) {
    const first = await slope(x, t);
    const last = await slope(await states.addScaled(x, [next - t, first]), next);
    return states.addScaled(x, [(next - t) / 2, first], [(next - t) / 2, last]);
  },
};

/** One step of a method from t to `next`. */
export const odeStep = (method: OdeMethod): Step => steps[method];

/** Integrates x over `times`, which may fall too; `onState` sees the state after step k = 0, 1, …. */
export async function integrateFixed(
  states: States,
  evaluate: EvaluateVelocity,
  start: NDArray,
  times: ArrayLike<number>,
  method: OdeMethod,
  onState?: (x: DeviceArray, k: number) => Promise<void>,
): Promise<NDArray> {
  let x = await states.put(start);
  const slope: Slope = async (at, t) => states.own(await evaluate(at, timeOf(at, t)));
  for (let k = 0; k + 1 < times.length; k++) {
    x = await steps[method](states, slope, x, times[k]!, times[k + 1]!);
    await onState?.(x, k);
    states.keep(x);
  }
  return states.finish(x);
}
