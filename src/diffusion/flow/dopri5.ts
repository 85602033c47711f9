/** The probability flow with adaptive steps: Dormand and Prince's method of order 5(4). N batch; states [N, …], times [N]. */
import { float32, type NDArray, sizeOf } from "../../array/ndarray.ts";
import type { DeviceArray } from "../../engine/engine.ts";
import { abs, add, cast, div, input, less, maximum, mul, reshape, sub, sum, where } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { EvaluateVelocity } from "./ode.ts";
import type { Interval } from "./path.ts";
import { float64, type States, wide } from "./states.ts";
import { firstStep, nextStep, type RowGroup } from "./step-control.ts";

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
  [1],
];
/** The stage that is a step of Euler's method. */
const EULER = stages.length - 1;
/** The two solutions' difference, with Shampine's (1986) embedded one: two thirds of Dormand and Prince's, as in torchdiffeq. */
const errorWeights = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40].map(
  (e) => (2 / 3) * e,
);

/** An integration: all rows in one array, each group of rows with its own time and step. */
interface Integration {
  readonly states: States;
  readonly evaluate: EvaluateVelocity;
  readonly settings: AdaptiveSettings;
  readonly shape: readonly number[];
  readonly groups: readonly RowGroup[];
}

/**
 * Integrates x over the interval. Unlike the original's solver, which steps over the end and interpolates back, the
 * last step ends there exactly: the model is never asked for a t that it was not trained on. Only the first `rows` rows
 * count (default all); the others are padding, which stays as it is. Only the errors of steps come to the host.
 * @throws InputError if no step above a millionth of the interval meets the tolerance, as with a model that is not finite.
 */
export async function integrateAdaptive(
  states: States,
  evaluate: EvaluateVelocity,
  start: NDArray,
  [from, to]: Interval,
  settings: AdaptiveSettings = adaptiveDefaults,
  rows = start.shape[0]!,
): Promise<AdaptiveResult> {
  const groups = groupsOf(rows, from, settings);
  let evaluations = 0;
  const run: Integration = {
    states,
    evaluate(x, t) {
      evaluations++;
      return evaluate(x, t);
    },
    settings,
    shape: start.shape,
    groups,
  };
  let x = await states.put(start);
  let slope = await slopeAt(run, x, 0);
  await chooseFirstSteps(run, x, slope, to);
  while (groups.some(({ t }) => t !== to)) {
    for (const group of groups) group.h = clipped(group, to);
    const tried = await tryStep(run, x, slope);
    const errors = await errorsOf(run, x, tried);
    const isAccepted = groups.map((group, g) => group.t !== to && nextStep(group, errors[g]!, [from, to]));
    ({ x, slope } = await accept(run, { x, slope }, tried, isAccepted));
    states.keep(x, slope);
  }
  return {
    x: await states.finish(x),
    evaluations,
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

/** Gives each row the number of its group; rows of none keep theirs. */
function byRow<A extends Float32Array | Float64Array>(
  numbers: A,
  groups: readonly RowGroup[],
  of: (group: RowGroup, g: number) => number,
): A {
  groups.forEach((group, g) => {
    numbers.fill(of(group, g), group.first, group.end);
  });
  return numbers;
}

/** The velocity at states whose groups are at t + node · h. */
async function slopeAt({ states, evaluate, groups, shape }: Integration, x: DeviceArray, node: number) {
  const t = new Float32Array(shape[0]!).fill(groups[0]?.t ?? 0);
  return states.own(await evaluate(x, float32(byRow(t, groups, (group) => group.t + node * group.h))));
}

/** Steps of the rows, 0 for padding: [N] in float64. */
const stepsOf = ({ groups, shape: [rows] }: Integration): NDArray =>
  float64(
    byRow(new Float64Array(rows!), groups, ({ h }) => h),
    [rows!],
  );

/** Numbers of rows [N] beside a state [N, …]. */
const beside = (x: Tensor, rows: Tensor): Tensor =>
  reshape(rows, [x.shape[0]!, ...new Array<number>(x.shape.length - 1).fill(1)]);

/** x + h Σ weight · slope, where each row has its own h. */
async function advanced(
  run: Integration,
  x: DeviceArray,
  slopes: readonly DeviceArray[],
  stage: number,
): Promise<DeviceArray> {
  const { states, shape } = run;
  const weights = stages[stage]!;
  const { next } = await states.compute(
    `stage ${stage} of ${shape}`,
    () => {
      const state = input("x", shape);
      const sum = weightedSum(weights, shape);
      const h = beside(state, input("h", [shape[0]!], "float64"));
      return { next: cast(add(wide(state), mul(h, sum)), "float32") };
    },
    { x, h: stepsOf(run), ...named(slopes.slice(0, weights.length)) },
  );
  return next;
}

const named = (slopes: readonly DeviceArray[]): Record<string, DeviceArray> =>
  Object.fromEntries(slopes.map((slope, j) => [`slope${j}`, slope]));

/** Σ weight · slope in float64; slopes without a weight are not read. */
function weightedSum(weights: readonly number[], shape: readonly number[]): Tensor {
  const terms = weights.flatMap((weight, j) => (weight === 0 ? [] : [mul(wide(input(`slope${j}`, shape)), weight)]));
  return terms.reduce((sum, term) => add(sum, term));
}

/** The state after a step, and the seven slopes; the last one is the first of the following step. */
interface TriedStep {
  readonly next: DeviceArray;
  readonly slopes: readonly DeviceArray[];
}

async function tryStep(run: Integration, x: DeviceArray, slope: DeviceArray): Promise<TriedStep> {
  const slopes = [slope];
  let next = x;
  for (let stage = 1; stage < nodes.length; stage++) {
    next = await advanced(run, x, slopes, stage);
    slopes.push(await slopeAt(run, next, nodes[stage]!));
  }
  return { next, slopes };
}

/** Rows of accepted groups move; all others stay, whatever was computed for them. */
async function accept(
  { states, shape, groups }: Integration,
  { x, slope }: { x: DeviceArray; slope: DeviceArray },
  { next, slopes }: TriedStep,
  isAccepted: readonly boolean[],
): Promise<{ x: DeviceArray; slope: DeviceArray }> {
  const accepted = float32(byRow(new Float32Array(shape[0]!), groups, (_, g) => Number(isAccepted[g])));
  return states.compute(
    `accepted of ${shape}`,
    () => {
      const read = (name: string) => input(name, shape);
      const moves = less(0, beside(read("x"), input("accepted", [shape[0]!])));
      return {
        x: where(moves, read("next"), read("x")),
        slope: where(moves, read("nextSlope"), read("slope")),
      };
    },
    { x, slope, next, nextSlope: slopes.at(-1)!, accepted },
  );
}

/** The errors of the groups, in units of what is allowed. */
async function errorsOf(run: Integration, x: DeviceArray, { next, slopes }: TriedStep): Promise<number[]> {
  const { states, shape, settings } = run;
  const { squares } = await states.compute(
    `errors of ${shape}`,
    () => {
      const [state, after] = [wide(input("x", shape)), wide(input("next", shape))];
      const error = mul(beside(state, input("h", [shape[0]!], "float64")), weightedSum(errorWeights, shape));
      return { squares: rowSquares(error, maximum(abs(state), abs(after)), settings) };
    },
    { x, next, h: stepsOf(run), ...named(slopes) },
  );
  return meanRoots(run, squares);
}

/** Σ (value / (atol + rtol · size))² over each row: [N]. */
function rowSquares(value: Tensor, size: Tensor, { atol, rtol }: AdaptiveSettings): Tensor {
  const ratio = div(value, add(mul(size, rtol), atol));
  const axes = Array.from({ length: ratio.shape.length - 1 }, (_, i) => i + 1);
  return sum(mul(ratio, ratio), axes);
}

/** √ mean of the squares of each group. */
async function meanRoots({ groups, shape }: Integration, squares: DeviceArray): Promise<number[]> {
  const { data } = await squares.read();
  const size = sizeOf(shape.slice(1));
  return groups.map(({ first, end }) => {
    let total = 0;
    for (let row = first; row < end; row++) total += data[row] as number;
    return Math.sqrt(total / (size * (end - first)));
  });
}

/** Hairer, Nørsett and Wanner 1993, section II.4: a step from the sizes of state, slope and a difference of slopes. */
async function chooseFirstSteps(run: Integration, x: DeviceArray, slope: DeviceArray, to: number): Promise<void> {
  const { groups } = run;
  const direction = (t: number) => Math.sign(to - t);
  const [stateSizes, slopeSizes] = [await sizesOf(run, x, x), await sizesOf(run, x, slope)];
  const probes = groups.map(({ t }, g) => {
    const isTiny = stateSizes[g]! < 1e-5 || slopeSizes[g]! < 1e-5;
    return Math.min(isTiny ? 1e-6 : (0.01 * stateSizes[g]!) / slopeSizes[g]!, Math.abs(to - t));
  });
  groups.forEach((group, g) => {
    group.h = direction(group.t) * probes[g]!;
  });
  const probed = await slopeAt(run, await advanced(run, x, [slope], EULER), 1);
  const changes = await sizesOf(run, x, probed, slope);
  groups.forEach((group, g) => {
    group.h = direction(group.t) * firstStep(probes[g]!, slopeSizes[g]!, changes[g]! / probes[g]!);
  });
}

/** The sizes of a − b (b is 0 if it is not given) in the groups, in units of what is allowed at x. */
async function sizesOf(run: Integration, x: DeviceArray, a: DeviceArray, b?: DeviceArray): Promise<number[]> {
  const { states, shape, settings } = run;
  const { squares } = await states.compute(
    `size of ${b ? "a difference" : "a state"} of ${shape}`,
    () => {
      const value = wide(input("a", shape));
      const difference = b ? sub(value, wide(input("b", shape))) : value;
      return { squares: rowSquares(difference, abs(wide(input("x", shape))), settings) };
    },
    { x, a, ...(b && { b }) },
  );
  return meanRoots(run, squares);
}
