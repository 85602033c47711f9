/** The probability flow with adaptive steps: Dormand and Prince's method of order 5(4). N batch; states [N, …], times [N]. */
import { InputError } from "../../array/input-error.ts";
import { float32, type NDArray } from "../../array/ndarray.ts";
import type { EvaluateVelocity } from "./ode.ts";
import type { Interval } from "./path.ts";

export interface AdaptiveSettings {
  /** A step's error may be `atol` + `rtol` · |x|. */
  readonly rtol: number;
  readonly atol: number;
  /**
   * Whose error decides on a step: that of each sample, which so does not depend on the others; or that of the whole
   * batch, which then moves together, as in the original.
   */
  readonly norm: "sample" | "batch";
}

/** The original's tolerances. */
export const adaptiveDefaults: AdaptiveSettings = { rtol: 1e-3, atol: 1e-6, norm: "sample" };

export interface AdaptiveResult {
  readonly x: NDArray;
  readonly evaluations: number;
  /** Steps of each group (sample, or batch). */
  readonly accepted: readonly number[];
  readonly rejected: readonly number[];
}

/** Dormand and Prince 1980, table 2 (method RK5(4)7M): nodes and stages; the last row is the solution of order 5. */
const nodes = [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1];
const stages = [
  [],
  [1 / 5],
  [3 / 40, 9 / 40],
  [44 / 45, -56 / 15, 32 / 9],
  [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
  [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
  [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
];
/** The two solutions' difference, with Shampine's (1986) embedded one: two thirds of Dormand and Prince's, as in torchdiffeq. */
const errorWeights = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40].map(
  (e) => (2 / 3) * e,
);

/** An integration: all rows in one array, each group of rows with its own time and step. */
interface Integration {
  readonly evaluate: EvaluateVelocity;
  readonly shape: readonly number[];
  /** Numbers in a row. */
  readonly size: number;
  readonly groups: readonly RowGroup[];
}

/**
 * Integrates x over the interval. Unlike the original's solver, which steps over the end and interpolates back, the
 * last step ends there exactly: the model is never asked for a t that it was not trained on. Only the first `rows` rows
 * count (default all); the others are padding, which stays as it is.
 * @throws InputError if no step above a millionth of the interval meets the tolerance, as with a model that is not finite.
 */
export async function integrateAdaptive(
  evaluate: EvaluateVelocity,
  start: NDArray,
  [from, to]: Interval,
  settings: AdaptiveSettings = adaptiveDefaults,
  rows = start.shape[0]!,
): Promise<AdaptiveResult> {
  const x = Float32Array.from(start.data as Float32Array);
  const groups = groupsOf(rows, from, settings);
  const counted = { evaluations: 0 };
  const run: Integration = {
    evaluate(states, t) {
      counted.evaluations++;
      return evaluate(states, t);
    },
    shape: start.shape,
    size: x.length / start.shape[0]!,
    groups,
  };
  let slope = await slopeAt(run, x, 0);
  await chooseFirstSteps(run, x, slope, to, settings);
  while (groups.some(({ t }) => t !== to)) {
    for (const group of groups) group.h = clipped(group, to);
    const { next, slopes } = await tryStep(run, x, slope);
    const arrived = Float32Array.from(slope);
    for (const group of groups) {
      if (group.t === to) continue;
      const error = errorOf(run, group, { x, next, slopes }, settings);
      if (nextStep(group, error, [from, to])) {
        copyRows(run, group, next, x);
        copyRows(run, group, slopes[6]!, arrived);
      }
    }
    slope = arrived;
  }
  return {
    x: float32(x, start.shape),
    evaluations: counted.evaluations,
    accepted: groups.map(({ accepted }) => accepted),
    rejected: groups.map(({ rejected }) => rejected),
  };
}

function groupsOf(rows: number, t: number, { norm }: AdaptiveSettings): RowGroup[] {
  const fresh = { t, h: 0, accepted: 0, rejected: 0 };
  if (norm === "batch") return [{ ...fresh, first: 0, end: rows }];
  return Array.from({ length: rows }, (_, row) => ({ ...fresh, first: row, end: row + 1 }));
}

/** The step of a group, cut at the end; 0 for a group that has arrived. */
function clipped({ t, h }: RowGroup, to: number): number {
  return Math.abs(to - t) <= Math.abs(h) ? to - t : h;
}

/** The velocity at states whose groups are at t + node · h. */
async function slopeAt({ evaluate, groups, shape }: Integration, x: Float32Array, node: number): Promise<Float32Array> {
  const t = new Float32Array(shape[0]!).fill(groups[0]?.t ?? 0);
  for (const group of groups) t.fill(group.t + node * group.h, group.first, group.end);
  const { data } = await evaluate(float32(x, shape), float32(t));
  return data as Float32Array;
}

/** x + h Σ weight · slope, where each group has its own h. */
function advanced(
  { size, groups }: Integration,
  x: Float32Array,
  slopes: readonly Float32Array[],
  weights: readonly number[],
): Float32Array {
  const moved = Float32Array.from(x);
  for (const { first, end, h } of groups) {
    if (h === 0) continue;
    for (let i = first * size; i < end * size; i++) {
      let sum = 0;
      for (let j = 0; j < weights.length; j++) sum += weights[j]! * slopes[j]![i]!;
      moved[i] = x[i]! + h * sum;
    }
  }
  return moved;
}

/** The state after a step, and the seven slopes; the last one is the first of the following step. */
async function tryStep(run: Integration, x: Float32Array, slope: Float32Array) {
  const slopes = [slope];
  let next = x;
  for (let stage = 1; stage < nodes.length; stage++) {
    next = advanced(run, x, slopes, stages[stage]!);
    slopes.push(await slopeAt(run, next, nodes[stage]!));
  }
  return { next, slopes };
}

function errorOf(
  { size }: Integration,
  { first, end, h }: RowGroup,
  { x, next, slopes }: { x: Float32Array; next: Float32Array; slopes: readonly Float32Array[] },
  { rtol, atol }: AdaptiveSettings,
): number {
  return rootMeanSquare(first * size, end * size, (i) => {
    let error = 0;
    for (let j = 0; j < errorWeights.length; j++) error += errorWeights[j]! * slopes[j]![i]!;
    return (h * error) / (atol + rtol * Math.max(Math.abs(x[i]!), Math.abs(next[i]!)));
  });
}

/** Hairer, Nørsett and Wanner 1993, section II.4: a step from the sizes of state, slope and a difference of slopes. */
async function chooseFirstSteps(
  run: Integration,
  x: Float32Array,
  slope: Float32Array,
  to: number,
  { rtol, atol }: AdaptiveSettings,
): Promise<void> {
  const { size, groups } = run;
  const direction = (t: number) => Math.sign(to - t);
  const sizeOf = ({ first, end }: RowGroup, value: (i: number) => number) =>
    rootMeanSquare(first * size, end * size, (i) => value(i) / (atol + rtol * Math.abs(x[i]!)));
  const known = groups.map((group) => ({
    state: sizeOf(group, (i) => x[i]!),
    slope: sizeOf(group, (i) => slope[i]!),
  }));
  const probes = known.map(({ state, slope: d }, g) =>
    Math.min(state < 1e-5 || d < 1e-5 ? 1e-6 : (0.01 * state) / d, Math.abs(to - groups[g]!.t)),
  );
  groups.forEach((group, g) => {
    group.h = direction(group.t) * probes[g]!;
  });
  const probed = await slopeAt(run, advanced(run, x, [slope], [1]), 1);
  groups.forEach((group, g) => {
    const change = sizeOf(group, (i) => probed[i]! - slope[i]!) / probes[g]!;
    group.h = direction(group.t) * firstStep(probes[g]!, known[g]!.slope, change);
  });
}

function copyRows({ size }: Integration, { first, end }: RowGroup, source: Float32Array, target: Float32Array): void {
  target.set(source.subarray(first * size, end * size), first * size);
}

/** Rows that share a time and a step. */
export interface RowGroup {
  readonly first: number;
  readonly end: number;
  t: number;
  /** The step that is tried next; 0 once the end is reached. */
  h: number;
  accepted: number;
  rejected: number;
}

const order = 5;
const safety = 0.9;
const largestGrowth = 10;
const smallestShrinkage = 0.2;
/** Of the interval; float32 times cannot resolve much less. */
const smallestStep = 1e-6;

/** √ mean value(i)² over first ≤ i < end. */
export function rootMeanSquare(first: number, end: number, value: (i: number) => number): number {
  let sum = 0;
  for (let i = first; i < end; i++) sum += value(i) ** 2;
  return Math.sqrt(sum / (end - first));
}

/** The first step from a probe of size h0, the slope's size there and that of the slope's derivative. */
export function firstStep(h0: number, slope: number, change: number): number {
  const h1 =
    slope <= 1e-15 && change <= 1e-15 ? Math.max(1e-6, h0 * 1e-3) : (0.01 / Math.max(slope, change)) ** (1 / order);
  return Math.min(100 * h0, h1);
}

/**
 * Moves the group's time if its error is at most 1, and sets its next step: never smaller after an accepted step.
 * @throws InputError if a step is refused that is already as small as can be.
 */
export function nextStep(group: RowGroup, error: number, [from, to]: Interval): boolean {
  const isAccepted = error <= 1;
  const { t, h, first } = group;
  if (!isAccepted && !(Math.abs(h) > smallestStep * Math.abs(to - from))) {
    throw new InputError(
      `dopri5: no step meets the tolerance at t = ${t} (sample ${first}): the last one tried is ${h}, its error ${error} ` +
        "times the allowed one; try a larger tolerance, or the method heun",
    );
  }
  if (isAccepted) {
    // The whole way left is taken as such, so that the end is met to the last bit.
    group.t = h === to - t ? to : t + h;
    group.accepted++;
  } else group.rejected++;
  const factor = Math.min(largestGrowth, Math.max(safety / error ** (1 / order), isAccepted ? 1 : smallestShrinkage));
  group.h = h * (Number.isNaN(factor) ? smallestShrinkage : factor);
  if (group.t === to) group.h = 0;
  return isAccepted;
}
