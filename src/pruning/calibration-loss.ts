/** The loss of a model with any set of blocks on fixed examples: for comparing weights, masks and blocks fairly. */

import { float32, type NDArray } from "../array/ndarray.ts";
import type { TrainingSet } from "../data/training-set.ts";
import type { Process } from "../diffusion/process.ts";
import { input } from "../graph/build.ts";
import type { Model } from "../models/registry.ts";
import { Params } from "../nn/params.ts";
import type { Engine, NamedArrays, Session } from "../onnx/session.ts";
import { trainingLoss } from "../training/objective.ts";
import { objectiveOf } from "../training/objectives.ts";
import { runGated } from "./gated.ts";

export interface CalibrationSettings {
  readonly seed: number;
  readonly examples: number;
  readonly process: Process;
}

const ROWS = 32;

/** Examples, noise and timesteps drawn once; one session for every set of blocks. */
export class CalibrationLoss {
  readonly #session: Session;
  readonly #batches: readonly NamedArrays[];
  readonly #depth: number;

  private constructor(session: Session, batches: readonly NamedArrays[], depth: number) {
    this.#session = session;
    this.#batches = batches;
    this.#depth = depth;
  }

  static async compile(
    engine: Engine,
    model: Model,
    data: TrainingSet,
    settings: CalibrationSettings,
  ): Promise<CalibrationLoss> {
    const { seed, examples, process } = settings;
    const masks = input("masks", [ROWS, model.config.depth]);
    const objective = objectiveOf(process);
    const traced = { model, p: new Params(), runBlock: runGated(masks), isTraining: false };
    const { terms } = trainingLoss(objective, traced, ROWS);
    const draw = { seed, batchSize: examples, microBatch: ROWS, labelDrop: 0 };
    const session = await engine.compile({ outputs: { loss: terms.loss! } });
    return new CalibrationLoss(session, await objective.draw(model, data, draw, 0), model.config.depth);
  }

  /** Mean loss with these blocks (all by default). */
  async loss(weights: ReadonlyMap<string, NDArray>, kept?: Iterable<number>): Promise<number> {
    const mask = new Float32Array(this.#depth).fill(kept ? 0 : 1);
    for (const block of kept ?? []) mask[block] = 1;
    const masks = float32(
      Float32Array.from({ length: ROWS * this.#depth }, (_, i) => mask[i % this.#depth]!),
      [ROWS, this.#depth],
    );
    const fed = { ...Object.fromEntries(weights), masks };
    let total = 0;
    for (const batch of this.#batches) total += Number((await this.#session.run({ ...fed, ...batch })).loss!.data[0]);
    return total;
  }

  /** How much the loss rises when one block alone is skipped, for every block [depth]. */
  async skipLosses(weights: ReadonlyMap<string, NDArray>): Promise<number[]> {
    const all = Array.from({ length: this.#depth }, (_, i) => i);
    const whole = await this.loss(weights);
    const rises: number[] = [];
    for (const skipped of all) {
      rises.push(
        (await this.loss(
          weights,
          all.filter((block) => block !== skipped),
        )) - whole,
      );
    }
    return rises;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}
