/** Outputs of blocks: how far activations are from their sample's mean, in standard deviations. N rows, T tokens, D hidden. */
import {
  calibrationRows,
  drawCalibration,
  type LoadedModel,
  type NDArray,
  objectiveOf,
  runAndRead,
  type TrainingSet,
} from "tinyfusion";
import type { Tensor } from "tinyfusion/graph";
import { captureOutputs, type LayerMap, Params } from "tinyfusion/models";
import { type StudyContext, type Trial, trialFile } from "../trials/trial.ts";
import { type BenchmarkModel, openBenchmark } from "./benchmark.ts";
import type { Budget } from "./budget.ts";
import type { MaskTrial } from "./masks.ts";
import { recover, recoveryPlan } from "./recover.ts";
import { RECOVERY_SEEDS } from "./recovered-trial.ts";
import { shallow } from "./students.ts";

/** Beyond so many standard deviations an activation counts as extreme: the paper's mask. */
export const EXTREME = 2;
/** Bins of a histogram, from −10 to 10 standard deviations; values outside count in the outer ones. */
export const BINS = 80;
export const REACH = 10;

/** The output of one block over all examples. */
export interface BlockActivations {
  readonly block: number;
  readonly counts: readonly number[];
  /** Share of activations beyond 2σ of their sample, and of the squared distance from the mean that they make up. */
  readonly extremeShare: number;
  readonly extremeEnergy: number;
  /** The largest distance in standard deviations. */
  readonly largest: number;
}

export interface ActivationsResult {
  /** Pairs that distillation compares: blocks of the student, and of the teacher. */
  readonly pairs: LayerMap;
  readonly student: readonly BlockActivations[];
  readonly teacher: readonly BlockActivations[];
}

/** Of a teacher and the student that it recovers from the mask, with seed 0. */
export function activationsTrial(
  study: string,
  benchmark: BenchmarkModel,
  mask: MaskTrial,
  budget: Budget,
): Trial<ActivationsResult> {
  const [variant, seed] = ["activations", 0];
  const plan = recoveryPlan(benchmark, budget);
  const { calibration } = budget;
  return {
    file: trialFile(study, variant, seed),
    study,
    variant,
    seed,
    benchmark: benchmark.name,
    settings: { mask: mask.file, recovery: plan, calibration, seed, subject: benchmark.settings },
    needs: [...benchmark.needs, mask],
    work: { recoverySteps: plan.steps, passes: 2 },
    async compute(context) {
      const { teacher, data } = await openBenchmark(context, benchmark);
      const pruned = shallow(teacher, context.result(mask).kept);
      const { model } = await recover(context, pruned, teacher, data, { ...plan, seed: seed + RECOVERY_SEEDS });
      const pairs = pruned.prunings.at(-1)!.layerMap;
      const [own, matched] = [pairs.map(([student]) => student), pairs.map(([, block]) => block)];
      return {
        pairs,
        student: await activationsOf(context, model, data, own, calibration),
        teacher: await activationsOf(context, teacher, data, matched, calibration),
      };
    },
  };
}

/** Runs the model on noised examples and measures the output of each named block. */
export async function activationsOf(
  context: StudyContext,
  { model, tensors, process }: LoadedModel,
  data: TrainingSet,
  blocks: readonly number[],
  examples: number,
): Promise<BlockActivations[]> {
  const settings = { seed: 0, examples, process };
  const objective = objectiveOf(process);
  const features = new Map<number, Tensor>();
  const traced = { model, p: new Params(), runBlock: captureOutputs(features), isTraining: false };
  objective.loss(traced, objective.inputs(model, calibrationRows({})));
  const outputs = Object.fromEntries(blocks.map((block) => [`block ${block}`, features.get(block)!]));
  const program = await context.engine.compile({ outputs }, { constants: tensors });
  const tallies = blocks.map((block) => new Tally(block));
  try {
    for (const { feeds, count } of await drawCalibration(model, data, settings)) {
      context.signal.throwIfAborted();
      const found = await runAndRead(program, feeds);
      for (const tally of tallies) tally.add(found[`block ${tally.block}`]!, count);
    }
  } finally {
    await program.release();
  }
  return tallies.map((tally) => tally.result());
}

/** Counts of one block, row by row: each row has its own mean and deviation, as the mask of distillation has. */
class Tally {
  readonly block: number;
  readonly #counts = new Array<number>(BINS).fill(0);
  #values = 0;
  #extreme = 0;
  #energy = 0;
  #extremeEnergy = 0;
  #largest = 0;

  constructor(block: number) {
    this.block = block;
  }

  /** The first `rows` rows of features [N, T, D]. */
  add({ data, shape }: NDArray, rows: number): void {
    const size = data.length / shape[0]!;
    for (let row = 0; row < rows; row++) {
      this.#addRow((data as Float32Array).subarray(row * size, (row + 1) * size));
    }
  }

  #addRow(values: Float32Array): void {
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const squares = values.reduce((sum, x) => sum + (x - mean) ** 2, 0);
    const sigma = Math.sqrt(squares / (values.length - 1));
    for (const x of values) {
      const z = (x - mean) / sigma;
      const bin = Math.floor(((z + REACH) / (2 * REACH)) * BINS);
      this.#counts[Math.min(BINS - 1, Math.max(0, bin))]!++;
      this.#energy += z * z;
      this.#largest = Math.max(this.#largest, Math.abs(z));
      if (Math.abs(z) < EXTREME) continue;
      this.#extreme++;
      this.#extremeEnergy += z * z;
    }
    this.#values += values.length;
  }

  result(): BlockActivations {
    return {
      block: this.block,
      counts: this.#counts,
      extremeShare: this.#extreme / this.#values,
      extremeEnergy: this.#extremeEnergy / this.#energy,
      largest: this.#largest,
    };
  }
}
