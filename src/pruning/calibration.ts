/** The calibration set, and the loss of a model with any set of blocks on it: for comparing weights, masks and blocks fairly. */
import { InputError } from "../array/input-error.ts";
import { int32, type NDArray } from "../array/ndarray.ts";
import { meanOf } from "../array/reduce.ts";
import type { TrainingSet } from "../data/training-set.ts";
import type { Process } from "../diffusion/process.ts";
import { type Engine, type NamedArrays, runAndRead, type Weight } from "../engine/engine.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Model } from "../models/registry.ts";
import { Params } from "../nn/params.ts";
import { objectiveOf } from "../training/objectives.ts";
import { runRouted } from "./run-routed.ts";

export interface CalibrationSettings {
  readonly seed: number;
  readonly examples: number;
  readonly process: Process;
  /** Rows of one run of the graph, 2 to 16 (16 by default); no value depends on it. */
  readonly microBatch?: number;
}

/** Called while graphs run. */
export interface RunHooks {
  /** Once aborted, the next run of a graph does not start, and its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Called after each run of a graph, with its work in forward passes. */
  readonly onRun?: (forwards: number) => void;
}

/** Feeds of one run of a graph. */
export interface CalibrationBatch {
  readonly feeds: NamedArrays;
  /** Examples in it; the rows behind them are padding. */
  readonly count: number;
}

/**
 * Examples drawn together, as one training step draws them: a MAR has one mask ratio for each step. So 256 examples
 * see 16 ratios. It is not the micro-batch, of which nothing may depend.
 */
export const DRAWN_TOGETHER = 16;

/** Rows of one run: never one, because one row takes another kernel, and never more than are drawn together. */
export const calibrationRows = ({ microBatch = DRAWN_TOGETHER }: Pick<CalibrationSettings, "microBatch">): number =>
  Math.max(2, Math.min(microBatch, DRAWN_TOGETHER));

/** The draws of up to 16 that hold the examples, in order. @throws InputError for more examples than there are. */
export function calibrationPieces(data: TrainingSet, examples: number): { step: number; count: number }[] {
  if (!(Number.isSafeInteger(examples) && examples >= 1 && examples <= data.size)) {
    throw new InputError(`\`calibration\` ${examples}: expected 1 to ${data.size}, the number of examples in the data`);
  }
  return Array.from({ length: Math.ceil(examples / DRAWN_TOGETHER) }, (_, step) => ({
    step,
    count: Math.min(DRAWN_TOGETHER, examples - step * DRAWN_TOGETHER),
  }));
}

/** How the examples are drawn: `draw` gives the micro-batches of a step, those of the training objective by default. */
export type CalibrationDraw = (
  settings: { seed: number; batchSize: number; microBatch: number; labelDrop: number },
  step: number,
) => Promise<NamedArrays[]>;

/**
 * The calibration set in batches of `calibrationRows`, in example order: a function of seed and number of examples.
 * @throws InputError for more examples than the data has.
 */
export async function drawCalibration(
  model: Model,
  data: TrainingSet,
  settings: CalibrationSettings,
  draw: CalibrationDraw = (own, step) => objectiveOf(settings.process).draw(model, data, own, step),
): Promise<CalibrationBatch[]> {
  const rows = calibrationRows(settings);
  const drawSettings = { seed: settings.seed, batchSize: DRAWN_TOGETHER, microBatch: rows, labelDrop: 0 };
  const batches: CalibrationBatch[] = [];
  for (const { step, count } of calibrationPieces(data, settings.examples)) {
    const drawn = await draw(drawSettings, step);
    const counted = drawn.map((feeds, i) => ({ feeds, count: Math.min(rows, count - i * rows) }));
    batches.push(...counted.filter((batch) => batch.count > 0));
  }
  return batches;
}

/** Compiles the outputs and runs them over the batches. @throws the signal's reason if it is aborted. */
export async function runOver<B extends { readonly feeds: NamedArrays }>(
  context: { engine: Engine; weights: ReadonlyMap<string, Weight>; signal?: AbortSignal | undefined },
  outputs: Readonly<Record<string, Tensor>>,
  batches: Iterable<B>,
  use: (results: NamedArrays, batch: B) => void,
): Promise<void> {
  const program = await context.engine.compile({ outputs }, { constants: context.weights });
  try {
    for (const batch of batches) {
      context.signal?.throwIfAborted();
      use(await runAndRead(program, batch.feeds), batch);
    }
  } finally {
    await program.release();
  }
}

/** The loss of a model on a calibration set, for any weights and any set of blocks. */
export interface CalibrationLoss {
  /** Mean loss of these weights with these blocks (all by default). @throws the signal's reason if it is aborted. */
  loss(weights: ReadonlyMap<string, NDArray>, kept?: Iterable<number>): Promise<number>;
  /** Mean loss of the fixed weights with these blocks. */
  lossOf(kept: Iterable<number>): Promise<number>;
  release(): Promise<void>;
}

/**
 * Draws the examples and builds one graph for every set of blocks: execution is routed, and each block is given all rows
 * or none, so that a dropped block costs no more than a copy. `fixed` are weights that need not be given again at each
 * loss; those in files are mapped.
 * @throws InputError for more examples than the data has.
 */
export async function compileCalibrationLoss(
  engine: Engine,
  model: Model,
  data: TrainingSet,
  settings: CalibrationSettings & RunHooks,
  fixed: ReadonlyMap<string, Weight> = new Map(),
): Promise<CalibrationLoss> {
  const batches = await drawCalibration(model, data, settings);
  const rows = calibrationRows(settings);
  const objective = objectiveOf(settings.process);
  const traced = { model, p: new Params(), runBlock: runRouted([]), isTraining: false };
  const outputs = { loss: objective.loss(traced, objective.inputs(model, rows)).loss };
  const program = await engine.compile({ outputs }, { constants: fixed });
  const loss: CalibrationLoss["loss"] = async (weights, kept) => {
    const routes = wholeBatchRoutes(rows, model.config.depth, kept);
    const losses: number[] = [];
    for (const { feeds, count } of batches) {
      settings.signal?.throwIfAborted();
      const found = await runAndRead(program, { ...Object.fromEntries(weights), ...routes, ...feeds });
      losses.push(...(found.loss!.data as Float32Array).subarray(0, count));
      settings.onRun?.(1);
    }
    return meanOf(losses);
  };
  return { loss, lossOf: (kept) => loss(new Map(), kept), release: () => program.release() };
}

/** Routes that give a kept block all rows and a dropped one none. */
function wholeBatchRoutes(rows: number, depth: number, kept?: Iterable<number>): NamedArrays {
  const [all, none] = [int32(Array.from({ length: rows }, (_, row) => row)), int32([])];
  const set = kept && new Set(kept);
  const feeds: Record<string, NDArray> = {};
  for (let block = 0; block < depth; block++) {
    const isKept = set === undefined || set.has(block);
    feeds[`kept.${block}`] = isKept ? all : none;
    feeds[`dropped.${block}`] = isKept ? none : all;
    // Either list comes first and is in order, so each row stays where it is.
    feeds[`inverse.${block}`] = all;
  }
  return feeds;
}
