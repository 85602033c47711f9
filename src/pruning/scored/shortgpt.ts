/** `shortgpt`: block influence, how far a block turns the hidden states. */
import { InputError } from "../../array/input-error.ts";
import { float32, NDArray } from "../../array/ndarray.ts";
import { integers, uniforms } from "../../array/random.ts";
import type { RowKey } from "../../data/training-set.ts";
import { input } from "../../graph/build.ts";
import type { Segment } from "../../graph/recompute.ts";
import { predictor } from "../../models/registry.ts";
import { Params } from "../../nn/params.ts";
import { captureStates } from "../../nn/run-block.ts";
import { drawExamples } from "../../training/examples.ts";
import { meanOfRows, measureGraph, noisedValues, runMeasure, tokenCosine } from "./block-states.ts";
import { keepHighest, lastBlocks } from "./budget.ts";
import {
  type CalibrationBatch,
  calibrationPieces,
  calibrationRows,
  countedBatches,
  DRAWN_TOGETHER,
} from "./calibration.ts";
import type { CalibratedContext, MeasuringPruner } from "./pruner.ts";

/** Timesteps that the original script draws from, without mapping them to the process. */
const CLEAN_TIMESTEPS = 250;

/**
 * ShortGPT (Men et al. 2024, arXiv 2403.03853): BI_i = 1 − E[x_iᵀ x_{i+1} / (‖x_i‖ ‖x_{i+1}‖)] over examples and tokens, where x_i
 * enters block i and x_{i+1} leaves it. The blocks of least influence go. Inputs are noised and timed as in training.
 */
export const shortgpt: MeasuringPruner = {
  needs: "calibration",
  summary: "block influence: 1 − cosine similarity of a block's input and output (ShortGPT)",
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

/** As the original averages: each batch alike, also a last one that is smaller. */
export function meanOfBatchMeans(rows: readonly Float64Array[], batch: number): number[] {
  const count = Math.ceil(rows.length / batch);
  return meanOfRows(Array.from({ length: count }, (_, i) => meanOfRows(rows.slice(i * batch, (i + 1) * batch))));
}

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
      `bi clean-latents: expected a dit model, which the original script is for, got ${model.family.name}; use noised`,
    );
  }
  const { seed, examples } = calibration;
  const rows = calibrationRows(calibration);
  const batches: CalibrationBatch[] = [];
  for (const { step, count } of calibrationPieces(data, examples)) {
    const draw = { seed, batchSize: DRAWN_TOGETHER, microBatch: rows, labelDrop: 0 };
    const drawn = (await drawExamples(model, data, draw, step)).map(({ feeds: { xStart, y }, keys }) => ({
      x: mirroredAtRandom(xStart, keys),
      t: float32(keys.map((key) => integers(key("timestep"), 1, CLEAN_TIMESTEPS)[0]!)),
      y,
    }));
    batches.push(...countedBatches(drawn, rows, count));
  }
  return runMeasure(context, cleanGraph(model, rows), batches);
}

/** Images [N, C, S, S], each mirrored left to right with probability ½ (of latents that is nearly the mirrored picture's). */
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
