/** Training all weights of a loss: the task behind `train` and `finetune`. */
import type { NDArray } from "../array/ndarray.ts";
import type { DeviceArray, NamedArrays } from "../engine/engine.ts";
import { clipFactor, type StateKind } from "./adamw.ts";
import type { Checkpoint } from "./checkpoint-folder.ts";
import { oneAhead } from "./examples.ts";
import { NonFiniteError, type StepReport, type Task } from "./loop.ts";
import { emaDecayAt, type LearningRate, learningRateAt, type SchedulePlan, scheduleAt } from "./rates.ts";
import type { Trainer } from "./trainer.ts";

export interface WeightTaskSettings extends SchedulePlan {
  readonly batchSize: number;
  readonly learningRate: LearningRate;
  readonly clipNorm: number;
  readonly emaDecay: number;
  readonly emaWarmup: boolean;
}

/** Scheduled values of step k (from 0). */
export function weightSchedules(settings: SchedulePlan & Pick<WeightTaskSettings, "learningRate">, step: number) {
  const { k, total } = scheduleAt(step, settings);
  return { learningRate: learningRateAt(settings.learningRate, k, total) };
}

/** Where the batches of a step come from, and what is written beside the weights. */
export interface WeightTaskParts {
  readonly trainer: Trainer;
  readonly batches: (step: number) => Promise<NamedArrays[]>;
  /** Weights that are stored with the trained ones, but never change. */
  readonly fixed: ReadonlyMap<string, NDArray>;
  /** Metadata of the weight files. */
  readonly describe: (kind: "raw" | "ema", step: number) => Readonly<Record<string, string>>;
}

export class WeightTask implements Task {
  readonly batchSize: number;
  readonly #parts: WeightTaskParts;
  readonly #settings: WeightTaskSettings;
  readonly #batches: (step: number) => Promise<NamedArrays[]>;
  #updates = 0;
  #step = 0;

  constructor(parts: WeightTaskParts, settings: WeightTaskSettings) {
    this.#parts = parts;
    this.#settings = settings;
    this.batchSize = settings.batchSize;
    this.#batches = oneAhead(parts.batches, settings.steps);
  }

  async step(k: number): Promise<StepReport> {
    const { trainer } = this.#parts;
    const { clipNorm, emaDecay, emaWarmup } = this.#settings;
    const { terms, squaredNorm } = await trainer.gradients(await this.#batches(k));
    const gradientNorm = Math.sqrt(squaredNorm);
    this.#step = k + 1;
    if (!Number.isFinite(gradientNorm + terms.loss!)) throw new NonFiniteError({ ...terms, gradientNorm });
    const { learningRate } = weightSchedules(this.#settings, k);
    await trainer.apply(this.#updates + 1, {
      clip: clipFactor(gradientNorm, clipNorm),
      learningRate,
      emaDecay: emaDecayAt(emaDecay, this.#updates, emaWarmup),
    });
    this.#updates++;
    return { terms, gradientNorm, learningRate };
  }

  checkpoint() {
    const { trainer, fixed, describe } = this.#parts;
    const whole = (kind: StateKind) => new Map<string, NDArray | DeviceArray>([...fixed, ...trainer.state(kind)]);
    const moments = (kind: StateKind) =>
      Array.from(trainer.state(kind), ([name, value]) => [`${kind}.${name}`, value] as const);
    return {
      files: {
        weights: whole("weights"),
        ema: whole("ema"),
        optimizer: new Map([...moments("firstMoment"), ...moments("secondMoment")]),
      },
      metadata: { weights: describe("raw", this.#step), ema: describe("ema", this.#step) },
      state: { updates: this.#updates },
    };
  }

  async restore({ files, state }: Checkpoint): Promise<void> {
    const { trainer } = this.#parts;
    await trainer.load("weights", files.weights!);
    await trainer.load("ema", files.ema!);
    for (const kind of ["firstMoment", "secondMoment"] as const) await trainer.load(kind, files.optimizer!, `${kind}.`);
    this.#updates = Number(state.updates);
    this.#step = Number(state.step);
  }

  async release(): Promise<void> {
    await this.#parts.trainer.release();
  }
}
