/** The gradient of the denoising loss, summed over the informative timesteps (Diff-Pruning, section 3.3). */
import { InputError } from "../../array/input-error.ts";
import { float32, int32 } from "../../array/ndarray.ts";
import type { TrainingSet } from "../../data/training-set.ts";
import { timesIn, trainingInterval } from "../../diffusion/flow/path.ts";
import type { Process } from "../../diffusion/process.ts";
import type { Engine, NamedArrays } from "../../engine/engine.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { Params } from "../../nn/params.ts";
import { weighted } from "../../training/objective.ts";
import { objectiveOf } from "../../training/objectives.ts";
import { gradientOutputs } from "../../training/trainer.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import { runOver } from "../calibration.ts";
import { addGradients } from "../taylor.ts";

export interface GradientSettings {
  readonly process: Process;
  readonly seed: number;
  /** Images; each is noised with the same noise at every timestep, as in the original. */
  readonly examples: number;
  /** Rows of one run of the graph, at least 2. */
  readonly microBatch: number;
  readonly timesteps: number;
  /** Timesteps of at most this fraction of the largest loss are left out; 0 leaves out none. */
  readonly threshold: number;
}

export interface GradientHooks {
  readonly signal?: AbortSignal;
  /** Runs of the graph that are done, of all. */
  readonly onRun?: (done: number, all: number) => void;
}

/** The loss at one timestep, and whether its gradient was summed. */
export interface TimestepLoss {
  readonly timestep: number;
  readonly loss: number;
  readonly used: boolean;
}

/**
 * Σ_t ∂L_t/∂w over {t : L_t / L_max > threshold}, for the named weights. The original goes up from t = 0, where the loss of
 * a diffusion is largest, and stops at the first step below the threshold. All losses are computed first here, which is the
 * same set where the loss falls, and is the paper's set where it does not, as in a flow. `gradients` are by name, each as
 * long as its weight.
 * @throws InputError for a loss that is not finite.
 */
export async function timestepGradients(
  engine: Engine,
  file: ModelFile,
  data: TrainingSet,
  names: readonly string[],
  settings: GradientSettings,
  hooks: GradientHooks = {},
): Promise<{ gradients: ReadonlyMap<string, Float32Array>; losses: TimestepLoss[] }> {
  const { process, seed, examples, microBatch, threshold } = settings;
  const timesteps = spreadTimesteps(process, settings.timesteps);
  const draw = { seed, batchSize: examples, microBatch, labelDrop: 0 };
  const batches = await objectiveOf(process).draw(file.model, data, draw, 0);
  const all = timesteps.length * batches.length;
  const count = { done: 0, all: threshold > 0 ? 2 * all : all };
  const { loss, p } = calibrationLoss(file, process, microBatch);
  const runs = { engine, file, batches, hooks, count };
  const first = threshold > 0 ? await runEach({ ...runs, outputs: { loss } }, timesteps) : undefined;
  const largest = Math.max(...(first?.losses ?? []));
  const used = timesteps.filter((_, i) => !first || first.losses[i]! > threshold * largest);
  count.all = count.done + used.length * batches.length;
  const outputs = { loss, ...gradientOutputs(loss, p, names) };
  const second = await runEach({ ...runs, outputs, names }, used);
  const losses = first?.losses ?? second.losses;
  return {
    gradients: second.sums,
    losses: timesteps.map((step, i) => ({ timestep: step.value, loss: losses[i]!, used: used.includes(step) })),
  };
}

/** The loss that the paper calls L_t: the squared error of what is predicted, without the bound of a learned variance. */
function calibrationLoss(file: ModelFile, process: Process, rows: number): { loss: Tensor; p: Params } {
  const objective = objectiveOf(process);
  const batch = objective.inputs(file.model, rows);
  const p = new Params();
  const terms = objective.loss({ model: file.model, p, isTraining: false }, batch);
  return { loss: weighted(terms.mse ?? terms.loss, batch.weight), p };
}

interface Runs {
  readonly engine: Engine;
  readonly file: ModelFile;
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Weights whose gradients are summed over all runs. */
  readonly names?: readonly string[];
  readonly batches: readonly NamedArrays[];
  readonly hooks: GradientHooks;
  readonly count: { done: number; all: number };
}

/** Every micro-batch at every timestep: the loss of each timestep, and the sums of all gradients by the weight's name. */
async function runEach(
  { engine, file, outputs, names = [], batches, hooks: { signal, onRun }, count }: Runs,
  timesteps: readonly Timestep[],
): Promise<{ losses: number[]; sums: ReadonlyMap<string, Float32Array> }> {
  const sums = new Map<string, Float32Array>();
  const losses = timesteps.map(() => 0);
  const runs = timesteps.flatMap(({ value, feeds }, at) =>
    batches.map((batch) => ({ at, value, feeds: { ...batch, ...feeds(batch.weight!.size) } })),
  );
  await runOver({ engine, weights: file.tensors, signal }, outputs, runs, (found, { at, value }) => {
    losses[at]! += Number(found.loss!.data[0]);
    if (!Number.isFinite(losses[at])) {
      throw new InputError(
        `${file.path}: the loss at timestep ${value} is ${losses[at]}, expected a finite number; look for NaN in the weights with tinyfusion inspect --check`,
      );
    }
    addGradients(sums, found, names);
    onRun?.(++count.done, count.all);
  });
  return { losses, sums };
}

/** A timestep that all examples of a run are noised to. */
export interface Timestep {
  /** The step of a diffusion, counted from 0; the time of a flow, from noise (0) to data (1). */
  readonly value: number;
  /** Replaces the drawn timesteps of a micro-batch. */
  feeds(rows: number): NamedArrays;
}

/**
 * The middles of `count` equal pieces of the process, ascending: every step of a diffusion that has so many.
 * @throws InputError for more steps than a diffusion has, or a process of single tokens.
 */
export function spreadTimesteps(process: Process, count: number): Timestep[] {
  const fractions = Float32Array.from({ length: count }, (_, i) => (i + 0.5) / count);
  const filled = (rows: number, value: number) => new Array<number>(rows).fill(value);
  if (process.kind === "tokens") throw new InputError("importance over timesteps is for models of whole images");
  if (process.kind === "flow") {
    return Array.from(timesIn(trainingInterval(process), fractions), (value) => ({
      value,
      feeds: (rows) => ({ t: float32(filled(rows, value)) }),
    }));
  }
  const { steps } = process;
  if (count > steps) {
    throw new InputError(
      `\`timesteps\` ${count}: the diffusion process of the model has ${steps} steps; give at most ${steps}`,
    );
  }
  return Array.from(fractions, (fraction) => {
    const value = Math.min(steps - 1, Math.floor(fraction * steps));
    return { value, feeds: (rows) => ({ index: int32(filled(rows, value)) }) };
  });
}
