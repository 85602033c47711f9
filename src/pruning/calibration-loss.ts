/** The loss of a model with any set of blocks on fixed examples: for comparing weights, masks and blocks fairly. */

import { int32, type NDArray } from "../array/ndarray.ts";
import type { TrainingSet } from "../data/training-set.ts";
import type { Engine, NamedArrays, Session } from "../engine/engine.ts";
import type { Model } from "../models/registry.ts";
import { Params } from "../nn/params.ts";
import { objectiveOf } from "../training/objectives.ts";
import { placeWeights, type Weight } from "../weights/placed-weights.ts";
import { RoutedBlocks } from "./routed.ts";
import {
  type CalibrationBatch,
  type CalibrationSettings,
  calibrationRows,
  drawCalibration,
  type RunHooks,
} from "./scored/calibration.ts";

export type { CalibrationSettings } from "./scored/calibration.ts";

/**
 * Examples, noise and timesteps drawn once; one session for every set of blocks. Execution is routed, and each block is
 * given all rows or none: a dropped block costs no more than a copy, and no mask needs a session of its own.
 */
export class CalibrationLoss {
  readonly #session: Session;
  readonly #batches: readonly CalibrationBatch[];
  readonly #fixed: NamedArrays;
  readonly #routes: (kept: Iterable<number>) => NamedArrays;
  readonly #all: readonly number[];
  readonly #hooks: RunHooks;

  private constructor(
    session: Session,
    batches: readonly CalibrationBatch[],
    shape: { rows: number; depth: number },
    fixed: NamedArrays,
    hooks: RunHooks,
  ) {
    this.#session = session;
    this.#batches = batches;
    this.#fixed = fixed;
    this.#routes = wholeBatchRoutes(shape.rows, shape.depth);
    this.#all = Array.from({ length: shape.depth }, (_, i) => i);
    this.#hooks = hooks;
  }

  /**
   * Draws the examples and builds the graph. `fixed` are weights that need not be given again at each loss; those in
   * files are mapped.
   * @throws InputError for more examples than the data has.
   */
  static async compile(
    engine: Engine,
    model: Model,
    data: TrainingSet,
    settings: CalibrationSettings & RunHooks,
    fixed: ReadonlyMap<string, Weight> = new Map(),
  ): Promise<CalibrationLoss> {
    const batches = await drawCalibration(model, data, settings);
    const rows = calibrationRows(settings);
    const objective = objectiveOf(settings.process);
    const { runBlock } = new RoutedBlocks();
    const traced = { model, p: new Params(), runBlock, isTraining: false };
    const { loss } = objective.loss(traced, objective.inputs(model, rows));
    const { fed, options } = placeWeights(fixed);
    const session = await engine.compile({ outputs: { loss } }, options);
    return new CalibrationLoss(session, batches, { rows, depth: model.config.depth }, fed, settings);
  }

  /** Mean loss with these blocks (all by default). */
  async loss(weights: ReadonlyMap<string, NDArray>, kept?: Iterable<number>): Promise<number> {
    return mean(await this.#rows(Object.fromEntries(weights), kept));
  }

  /** Mean loss of the fixed weights with these blocks. */
  lossOf(kept: Iterable<number>): Promise<number> {
    return this.loss(new Map(), kept);
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  /** The loss of each example, in order. @throws the signal's reason if it is aborted. */
  async #rows(weights: NamedArrays, kept: Iterable<number> = this.#all): Promise<number[]> {
    const fed = { ...this.#fixed, ...weights, ...this.#routes(kept) };
    const losses: number[] = [];
    for (const { feeds, count } of this.#batches) {
      this.#hooks.signal?.throwIfAborted();
      const { loss } = await this.#session.run({ ...fed, ...feeds });
      losses.push(...(loss!.data as Float32Array).subarray(0, count));
      this.#hooks.onRun?.(1);
    }
    return losses;
  }
}

/** In float64 and in example order, so that the micro-batch makes no difference. */
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Routes that give a kept block all rows and a dropped one none. */
function wholeBatchRoutes(rows: number, depth: number): (kept: Iterable<number>) => NamedArrays {
  const [all, none] = [int32(Array.from({ length: rows }, (_, row) => row)), int32([])];
  return (kept) => {
    const set = new Set(kept);
    const feeds: Record<string, NDArray> = {};
    for (let block = 0; block < depth; block++) {
      feeds[`kept.${block}`] = set.has(block) ? all : none;
      feeds[`dropped.${block}`] = set.has(block) ? none : all;
      // Either list comes first and is in order, so each row stays where it is.
      feeds[`inverse.${block}`] = all;
    }
    return feeds;
  };
}
