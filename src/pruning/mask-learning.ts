/** Learning which blocks to keep: gates on the host, weight update in the graph, clipped and stepped together. */
import { float32, type NDArray } from "../array/ndarray.ts";
import type { NamedArrays } from "../engine/engine.ts";
import { type AdamWSettings, clipFactor, hostAdamW, type OptimizerVectors } from "../training/adamw.ts";
import { bounds, requireRate, requireSettings } from "../training/check-settings.ts";
import type { Checkpoint } from "../training/checkpoint-folder.ts";
import { oneAhead } from "../training/examples.ts";
import { NonFiniteError, type StepReport, type Task } from "../training/loop.ts";
import { emaDecayAt, type LearningRate, learningRateAt, scheduleAt } from "../training/rates.ts";
import type { Trainer } from "../training/trainer.ts";
import type { WeightTaskSettings } from "../training/weight-task.ts";
import { type Decision, decide, drawMask, type GateGroup, gateCount, type Temperature } from "./draw-mask.ts";
import { addGateGradient } from "./gate-gradient.ts";
import type { MaskExecution } from "./mask-execution.ts";
import { probeProbabilities } from "./routes.ts";

export interface MaskLearningSettings extends WeightTaskSettings {
  readonly seed: number;
  readonly gateLearningRate: LearningRate;
  /** From the first to the last step, linearly. */
  readonly tau: readonly [number, number];
  readonly scale: readonly [number, number];
  readonly gateInit: number;
  /** Fraction of dropped rows that run forward for the gates' gradient, in (0, 1]. */
  readonly counterfactual: number;
  readonly adamw: AdamWSettings;
}

/** @throws RangeError naming a setting that is out of its bound. */
export function requireMaskSettings(settings: MaskLearningSettings): void {
  const { tau, scale, gateInit, counterfactual } = settings;
  requireRate("gateLearningRate", settings.gateLearningRate);
  requireSettings({
    "tau[0]": [tau[0], bounds.positive],
    "tau[1]": [tau[1], bounds.positive],
    "scale[0]": [scale[0], bounds.positive],
    "scale[1]": [scale[1], bounds.positive],
    gateInit: [gateInit, bounds.finite],
    counterfactual: [counterfactual, bounds.fractionAboveZero],
  });
}

/** Scheduled values of step k (from 0). */
export function maskSchedules(settings: MaskLearningSettings, step: number) {
  const { learningRate, gateLearningRate, tau, scale } = settings;
  const { k, total } = scheduleAt(step, settings);
  const progress = k / Math.max(total - 1, 1);
  return {
    learningRate: learningRateAt(learningRate, k, total),
    gateLearningRate: learningRateAt(gateLearningRate, k, total),
    tau: tau[0] + (tau[1] - tau[0]) * progress,
    scale: scale[0] + (scale[1] - scale[0]) * progress,
  };
}

/** A micro-batch of mask learning: the examples and each row's Gumbel noise. */
export interface MaskBatch {
  /** Feeds of the loss. */
  readonly feeds: NamedArrays;
  /** Gumbel noise of each row [gates]. */
  readonly gumbel: readonly ArrayLike<number>[];
  /** Example number of the first row in its global batch. */
  readonly first: number;
}

export interface MaskLearningParts {
  readonly trainer: Trainer;
  readonly groups: readonly GateGroup[];
  readonly execution: MaskExecution;
  readonly batches: (step: number) => Promise<readonly MaskBatch[]>;
}

/** The decision at one time, from averaged gates and from the gates themselves. */
export interface DecisionMoment extends Decision {
  readonly step: number;
  readonly raw: Decision;
}

/** About how many regular moments a run records. */
const MOMENTS = 150;

/** The gates' vectors in a checkpoint; their gradient is not stored. */
const stored = ["weights", "firstMoment", "secondMoment", "ema"] as const;

export class MaskLearning implements Task {
  readonly batchSize: number;
  /** Gates, their moments, average and last gradient [gates]. */
  readonly gates: OptimizerVectors;
  readonly #parts: MaskLearningParts;
  readonly #settings: MaskLearningSettings;
  readonly #batches: MaskLearningParts["batches"];
  #updates = 0;
  #emaWeight = 1;
  #history: DecisionMoment[] = [];
  #flips: number[] = [];
  #kept: string | undefined;

  constructor(parts: MaskLearningParts, settings: MaskLearningSettings) {
    this.#parts = parts;
    this.#settings = settings;
    this.batchSize = settings.batchSize;
    this.#batches = oneAhead(parts.batches, settings.steps);
    const vector = (value: number) => new Float32Array(gateCount(parts.groups)).fill(value);
    this.gates = {
      weights: vector(settings.gateInit),
      gradient: vector(0),
      firstMoment: vector(0),
      secondMoment: vector(0),
      ema: vector(settings.gateInit),
    };
  }

  /** τ and scale of step k. */
  temperature(k: number): Temperature {
    const { tau, scale } = maskSchedules(this.#settings, k);
    return { tau, scale };
  }

  async step(k: number): Promise<StepReport> {
    const { trainer } = this.#parts;
    const { clipNorm, emaDecay, emaWarmup, adamw } = this.#settings;
    const { terms, squaredNorm } = await this.#gradients(k);
    const gateSquares = this.gates.gradient.reduce((total, g) => total + g * g, 0);
    const gradientNorm = Math.sqrt(squaredNorm + gateSquares);
    if (!Number.isFinite(gradientNorm + terms.loss!)) throw new NonFiniteError({ ...terms, gradientNorm });
    const clip = clipFactor(gradientNorm, clipNorm);
    const decay = emaDecayAt(emaDecay, this.#updates, emaWarmup);
    const { learningRate, gateLearningRate, tau } = maskSchedules(this.#settings, k);
    this.#updates++;
    await trainer.apply(this.#updates, { clip, learningRate, emaDecay: decay });
    hostAdamW(this.gates, adamw, this.#updates, { clip, learningRate: gateLearningRate, emaDecay: decay });
    this.#emaWeight *= decay;
    this.#record(k + 1);
    return { terms: { ...terms, tau }, gradientNorm, learningRate };
  }

  /** Samples a mask for each row, runs the step, and turns ∂L/∂mask into the gates' gradient. */
  async #gradients(k: number) {
    const { trainer, groups, execution } = this.#parts;
    const { counterfactual, seed } = this.#settings;
    const temperature = this.temperature(k);
    const drawn = (await this.#batches(k)).map((batch) => ({
      ...batch,
      draws: batch.gumbel.map((noise) => drawMask(groups, this.gates.weights, noise, temperature)),
    }));
    // Over all rows of the step, so that it does not matter how they are cut into micro-batches; padding does not count.
    const real = drawn.flatMap(({ draws, first }) => draws.slice(0, this.batchSize - first));
    const probabilities = probeProbabilities(groups, real, temperature, counterfactual);
    const prepared = drawn.map(({ feeds, draws, first }) => {
      // A padded row has weight 0: its gradient is known without a forward pass.
      const own = draws.map(({ mask }, row) => probabilities[first + row] ?? new Float64Array(mask.length));
      const masks = execution.feeds(draws, own, { seed, step: k, first });
      return { draws, masks, feeds: { ...feeds, ...masks.feeds } };
    });
    const result = await trainer.gradients(prepared.map(({ feeds }) => feeds));
    this.gates.gradient.fill(0);
    prepared.forEach(({ draws, masks }, i) => {
      masks.gradient(result.extras[i]!).forEach((maskGradient, n) => {
        addGateGradient(groups, this.gates.gradient, draws[n]!, maskGradient, temperature);
      });
    });
    return result;
  }

  /** The current decision of the gates. */
  decision(step: number): DecisionMoment {
    const { groups } = this.#parts;
    const { scale } = this.temperature(Math.max(0, step - 1));
    return { step, ...decide(groups, this.#averagedGates(), scale), raw: decide(groups, this.gates.weights, scale) };
  }

  /** Decisions at regular steps and wherever the decision changed. */
  get history(): readonly DecisionMoment[] {
    return this.#history;
  }

  /** Steps after which the averaged gates decided differently than before. */
  get flips(): readonly number[] {
    return this.#flips;
  }

  #record(step: number): void {
    const { steps } = this.#settings;
    const now = this.decision(step);
    const flipped = this.#kept !== undefined && this.#kept !== String(now.kept);
    if (flipped) this.#flips.push(step);
    this.#kept = String(now.kept);
    const every = Math.max(1, Math.floor(steps / MOMENTS));
    if (flipped || step % every === 0 || step === steps || this.#history.length === 0) this.#history.push(now);
  }

  /** Without warm-up the average still holds its start: what is left of it is taken out (as Adam's bias correction). */
  #averagedGates(): Float32Array {
    const { ema } = this.gates;
    const { emaWarmup, gateInit } = this.#settings;
    if (emaWarmup || this.#emaWeight === 1) return ema;
    return ema.map((x) => (x - this.#emaWeight * gateInit) / (1 - this.#emaWeight));
  }

  checkpoint() {
    const { trainer } = this.#parts;
    const gates = new Map<string, NDArray>(stored.map((name) => [name, float32(this.gates[name])]));
    return {
      files: {
        gates,
        update: trainer.state("weights"),
        updateAverage: trainer.state("ema"),
        firstMoment: trainer.state("firstMoment"),
        secondMoment: trainer.state("secondMoment"),
      },
      metadata: {},
      state: {
        updates: this.#updates,
        emaWeight: this.#emaWeight,
        history: this.#history,
        flips: this.#flips,
        kept: this.#kept,
      },
    };
  }

  async restore({ files, state }: Checkpoint): Promise<void> {
    const { trainer } = this.#parts;
    for (const name of stored) this.gates[name].set(files.gates!.get(name)!.data as Float32Array);
    await trainer.load("weights", files.update!);
    await trainer.load("ema", files.updateAverage!);
    await trainer.load("firstMoment", files.firstMoment!);
    await trainer.load("secondMoment", files.secondMoment!);
    this.#updates = Number(state.updates);
    this.#emaWeight = Number(state.emaWeight);
    this.#history = state.history as DecisionMoment[];
    this.#flips = state.flips as number[];
    this.#kept = state.kept as string | undefined;
  }
}
