/** Pruners that score each block by the states [N, T, D] before and after it: `shortgpt` and `flux-lite`. */
import { InputError } from "../array/input-error.ts";
import { float32, NDArray } from "../array/ndarray.ts";
import { integers, uniforms } from "../array/random.ts";
import type { RowKey } from "../data/training-set.ts";
import { concat, div, input, maximum, mean, mul, sqrt, sub, sum, unsqueeze } from "../graph/build.ts";
import type { Graph } from "../graph/graph.ts";
import type { Segment } from "../graph/recompute.ts";
import type { Tensor } from "../graph/tensor.ts";
import { predictor } from "../models/registry.ts";
import { Params } from "../nn/params.ts";
import { captureStates } from "../nn/run-block.ts";
import { drawExamples } from "../training/examples.ts";
import { objectiveOf } from "../training/objectives.ts";
import { keepHighest, lastBlocks } from "./budget.ts";
import { type CalibrationBatch, calibrationRows, DRAWN_TOGETHER, drawCalibration, runOver } from "./calibration.ts";
import type { CalibratedContext, MeasuringPruner } from "./pruner.ts";

/**
 * ShortGPT (Men et al. 2024, arXiv 2403.03853): BI_i = 1 − E[x_iᵀ x_{i+1} / (‖x_i‖ ‖x_{i+1}‖)] over examples and tokens, where x_i
 * enters block i and x_{i+1} leaves it. The blocks of least influence go. Inputs are noised and timed as in training.
 */
export const shortgpt: MeasuringPruner = {
  needs: "calibration",
  summary: "1 − cosine similarity of input and output (ShortGPT)",
  passes: () => 1,
  async choose(context) {
    const { model, groups, settings } = context;
    const isNoised = settings.influenceInputs === "noised";
    const cosines = isNoised
      ? meanOfRows(await noisedValues(context, tokenCosine))
      : meanOfBatchMeans(await cleanValues(context), DRAWN_TOGETHER);
    const scores = cosines.map((cosine) => 1 - cosine);
    const always = settings.protectLast ? lastBlocks(model.family.stacks(model.config)) : [];
    return { kept: keepHighest(scores, groups, always), scores };
  },
};

/**
 * Flux.1 Lite (Verdú and Martín 2024, model card of Freepik/flux.1-lite-8B-alpha, "Motivation"): the blocks with the
 * smallest mean squared error between input and output contribute least, and go. E[(x_{i+1} − x_i)²] over examples,
 * tokens and channels. Unlike block influence it counts how long a step is, not only how far it turns.
 */
export const fluxLite: MeasuringPruner = {
  needs: "calibration",
  summary: "mean squared difference of input and output (Flux.1 Lite)",
  passes: () => 1,
  async choose(context) {
    const scores = meanOfRows(await noisedValues(context, squaredDifference));
    return { kept: keepHighest(scores, context.groups), scores };
  },
};

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
  const columns = states.map((state) => unsqueeze(measure(state), 1));
  return { outputs: { values: concat(columns, 1) } };
}

/** The values of each example in order, [examples][depth], on the model's own noised examples. */
async function noisedValues(context: CalibratedContext, measure: Measure): Promise<Float64Array[]> {
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
    const depth = values!.shape[1]!;
    for (let row = 0; row < count; row++) {
      rows.push(Float64Array.from((values!.data as Float32Array).subarray(row * depth, (row + 1) * depth)));
    }
    hooks.onRun?.(1);
  });
  return rows;
}

/** The mean of rows [n][depth] → [depth], summed in float64 and in order. */
export function meanOfRows(rows: readonly ArrayLike<number>[]): number[] {
  const sums = new Array<number>(rows[0]!.length).fill(0);
  for (const row of rows) {
    for (let i = 0; i < row.length; i++) sums[i]! += row[i]!;
  }
  return sums.map((total) => total / rows.length);
}

/** As the original averages: each batch alike, also a last one that is smaller. */
export function meanOfBatchMeans(rows: readonly Float64Array[], batch: number): number[] {
  const count = Math.ceil(rows.length / batch);
  return meanOfRows(Array.from({ length: count }, (_, i) => meanOfRows(rows.slice(i * batch, (i + 1) * batch))));
}

/** Timesteps that the original script draws from, without mapping them to the process. */
const CLEAN_TIMESTEPS = 250;

/** The graph of the cosines, for examples x [N, C, S, S] as they are, t [N] and y [N]. */
export function cleanGraph(model: CalibratedContext["model"], rows: number) {
  const { inChannels, inputSize } = model.config;
  const states: Segment[] = [];
  const x = input("x", [rows, inChannels, inputSize, inputSize]);
  predictor(model, new Params(), captureStates(states))({ x, t: input("t", [rows]), y: input("y", [rows], "int32") });
  return measureGraph(states, tokenCosine);
}

/**
 * The original script's inputs: clean latents, half of them mirrored, with raw timesteps from 0 to 249.
 * @throws InputError for a model that is no DiT.
 */
async function cleanValues(context: CalibratedContext): Promise<Float64Array[]> {
  const { model, data, calibration } = context;
  if (model.family.process !== "gaussian") {
    throw new InputError(
      `\`bi\` clean-latents: the original script is for DiT, found a ${model.family.name} model; use \`bi\` noised`,
    );
  }
  const batches = await drawCalibration(model, data, calibration, async (settings, step) =>
    (await drawExamples(model, data, settings, step)).map(({ feeds: { xStart, y }, keys }) => ({
      x: mirroredAtRandom(xStart, keys),
      t: float32(keys.map((key) => integers(key("timestep"), 1, CLEAN_TIMESTEPS)[0]!)),
      y,
    })),
  );
  return runMeasure(context, cleanGraph(model, calibrationRows(calibration)), batches);
}

/** Images [N, C, S, S], each mirrored left to right with probability ½ (of latents that is nearly the encoding of the mirrored image). */
function mirroredAtRandom(images: NDArray<"float32">, keys: readonly RowKey[]): NDArray<"float32"> {
  const values = images.data.slice();
  const width = images.shape[3]!;
  const size = values.length / keys.length;
  keys.forEach((key, row) => {
    // Not the purpose `flip`: data that hold mirrored latents draw from it already.
    if (uniforms(key("calibration flip"), 1)[0]! >= 0.5) return;
    for (let at = row * size; at < (row + 1) * size; at += width) values.subarray(at, at + width).reverse();
  });
  return new NDArray("float32", images.shape, values);
}
