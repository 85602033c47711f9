/** One number for each block and example from the state before the block and the state after it. */
import type { NDArray } from "../../array/ndarray.ts";
import { concat, div, maximum, mean, mul, sqrt, sub, sum, unsqueeze } from "../../graph/build.ts";
import type { Graph } from "../../graph/graph.ts";
import type { Segment } from "../../graph/recompute.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { Params } from "../../nn/params.ts";
import { captureStates } from "../../nn/run-block.ts";
import { objectiveOf } from "../../training/objectives.ts";
import { runOver } from "../gradient-sums.ts";
import { type CalibrationBatch, calibrationRows, drawCalibration } from "./calibration.ts";
import type { CalibratedContext } from "./pruner.ts";

/** A number of each row [N] from the states around a block [N, T, D]. */
export type Measure = (states: Segment) => Tensor;

/** The cosine of the angle between two states, for each token, mean over tokens [N]; parallel to nothing is 0. */
export const tokenCosine: Measure = ({ start, end }) => {
  const dot = (a: Tensor, b: Tensor): Tensor => sum(mul(a, b), [-1]); // [N, T]
  const norms = mul(sqrt(dot(start, start)), sqrt(dot(end, end)));
  return mean(div(dot(start, end), maximum(norms, 1e-8)), [1]);
};

/** The mean squared difference over tokens and channels [N]. */
export const squaredDifference: Measure = ({ start, end }) => {
  const difference = sub(end, start);
  return mean(mul(difference, difference), [1, 2]);
};

/** The graph of a measure for all blocks, `values` [N, depth]. */
export function measureGraph(states: readonly Segment[], measure: Measure): Graph {
  return {
    outputs: {
      values: concat(
        states.map((state) => unsqueeze(measure(state), 1)),
        1,
      ),
    },
  };
}

/** The values of each example in order, [examples][depth], on the model's own noised examples. */
export async function noisedValues(context: CalibratedContext, measure: Measure): Promise<Float64Array[]> {
  const { model, data, calibration } = context;
  const objective = objectiveOf(calibration.process);
  const states: Segment[] = [];
  const traced = { model, p: new Params(), runBlock: captureStates(states), isTraining: false };
  objective.loss(traced, objective.inputs(model, calibrationRows(calibration)));
  return runMeasure(context, measureGraph(states, measure), await drawCalibration(model, data, calibration));
}

/** Runs a graph of `values` over batches. @throws the signal's reason if it is aborted. */
export async function runMeasure(
  { engine, weights, hooks }: Pick<CalibratedContext, "engine" | "weights" | "hooks">,
  graph: Graph,
  batches: readonly CalibrationBatch[],
): Promise<Float64Array[]> {
  const rows: Float64Array[] = [];
  await runOver({ engine, weights, signal: hooks.signal }, graph.outputs, batches, ({ values }, { count }) => {
    rows.push(...rowsOf(values!, count));
    hooks.onRun?.(1);
  });
  return rows;
}

function rowsOf({ data, shape }: NDArray, count: number): Float64Array[] {
  const [, depth] = shape as readonly [number, number];
  const values = data as Float32Array;
  return Array.from({ length: count }, (_, row) => Float64Array.from(values.subarray(row * depth, (row + 1) * depth)));
}

/** The mean of rows [n][depth] → [depth], summed in float64 and in order. */
export function meanOfRows(rows: readonly ArrayLike<number>[]): number[] {
  const sums = new Array<number>(rows[0]!.length).fill(0);
  for (const row of rows) {
    for (let i = 0; i < row.length; i++) sums[i]! += row[i]!;
  }
  return sums.map((total) => total / rows.length);
}
