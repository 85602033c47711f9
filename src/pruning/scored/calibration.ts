/** The calibration set: examples of the data with noise and timesteps as training draws them, the same for every mask and block. */
import { InputError } from "../../array/input-error.ts";
import type { TrainingSet } from "../../data/training-set.ts";
import type { Process } from "../../diffusion/process.ts";
import type { NamedArrays } from "../../engine/engine.ts";
import type { Model } from "../../models/registry.ts";
import { objectiveOf } from "../../training/objectives.ts";

export interface CalibrationSettings {
  readonly seed: number;
  readonly examples: number;
  readonly process: Process;
  /** Rows of one run of the graph, 2 to 16 (16 by default); no value depends on it. */
  readonly microBatch?: number;
}

/** Called while graphs run. */
export interface RunHooks {
  /** Aborted: the next run of a graph does not start, and its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Called after each run of a graph, in units of forward passes. */
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

/** Where a draw of up to 16 examples begins and how many of them count. */
interface Piece {
  readonly step: number;
  readonly count: number;
}

/** The draws that hold the examples, in order. @throws InputError for more examples than there are. */
export function calibrationPieces(data: TrainingSet, examples: number): Piece[] {
  if (!(Number.isSafeInteger(examples) && examples >= 1 && examples <= data.size)) {
    throw new InputError(
      `calibration: expected 1 to ${data.size} examples, as many as the data has, got ${examples}; ask for fewer`,
    );
  }
  return Array.from({ length: Math.ceil(examples / DRAWN_TOGETHER) }, (_, step) => ({
    step,
    count: Math.min(DRAWN_TOGETHER, examples - step * DRAWN_TOGETHER),
  }));
}

/**
 * The calibration set in batches of `calibrationRows`, in example order: a function of seed and number of examples.
 * @throws InputError for more examples than the data has.
 */
export async function drawCalibration(
  model: Model,
  data: TrainingSet,
  settings: CalibrationSettings,
): Promise<CalibrationBatch[]> {
  const rows = calibrationRows(settings);
  const draw = { seed: settings.seed, batchSize: DRAWN_TOGETHER, microBatch: rows, labelDrop: 0 };
  const objective = objectiveOf(settings.process);
  const batches: CalibrationBatch[] = [];
  for (const { step, count } of calibrationPieces(data, settings.examples)) {
    const drawn = await objective.draw(model, data, draw, step);
    batches.push(...countedBatches(drawn, rows, count));
  }
  return batches;
}

/** The micro-batches of a draw with how many examples each has, without those that have none. */
export function countedBatches(drawn: readonly NamedArrays[], rows: number, count: number): CalibrationBatch[] {
  return drawn
    .map((feeds, i) => ({ feeds, count: Math.min(rows, count - i * rows) }))
    .filter((batch) => batch.count > 0);
}
