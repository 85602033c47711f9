/** The gradient of the denoising loss, summed over the timesteps that still tell something (Diff-Pruning, section 3.3). */
import { InputError } from "../../array/input-error.ts";
import type { TrainingSet } from "../../data/training-set.ts";
import type { Process } from "../../diffusion/process.ts";
import type { Engine, NamedArrays } from "../../engine/engine.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { Params } from "../../nn/params.ts";
import { weighted } from "../../training/objective.ts";
import { objectiveOf } from "../../training/objectives.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import { GradientSums, gradientOutputs, runOver } from "../gradient-sums.ts";
import { spreadTimesteps, type Timestep } from "./timesteps.ts";

export interface GradientSettings {
  readonly process: Process;
  readonly seed: number;
  /** Images; each is noised with the same noise at every timestep, as in the original. */
  readonly examples: number;
  /** Rows of one run of the graph, at least 2. */
  readonly microBatch: number;
  readonly timesteps: number;
  /** Timesteps of at most this share of the largest loss are left out; 0 leaves out none. */
  readonly threshold: number;
}

export interface CalibrationHooks {
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

export interface LossGradients {
  /** By name, each as long as its weight. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  readonly losses: readonly TimestepLoss[];
}

/**
 * Σ_t ∂L_t/∂w over {t : L_t / L_max > threshold}, for the named weights. The original goes up from t = 0, where the loss of
 * a diffusion is largest, and stops at the first step below the threshold. All losses are computed first here, which is the
 * same set where the loss falls, and is the paper's set where it does not, as in a flow.
 * @throws InputError for a loss that is not finite.
 */
export async function lossGradients(
  engine: Engine,
  file: ModelFile,
  data: TrainingSet,
  names: readonly string[],
  settings: GradientSettings,
  hooks: CalibrationHooks = {},
): Promise<LossGradients> {
  const { process, seed, examples, microBatch, threshold } = settings;
  const timesteps = spreadTimesteps(process, settings.timesteps);
  const draw = { seed, batchSize: examples, microBatch, labelDrop: 0 };
  const batches = await objectiveOf(process).draw(file.model, data, draw, 0);
  const all = timesteps.length * batches.length;
  const count = { done: 0, all: threshold > 0 ? 2 * all : all };
  const graph = calibrationGraph(file, process, microBatch);
  const runs = { engine, file, batches, hooks, count };
  const first = threshold > 0 ? await runEach({ ...runs, outputs: { loss: graph.loss } }, timesteps) : undefined;
  const largest = Math.max(...(first?.losses ?? []));
  const used = timesteps.filter((_, i) => !first || first.losses[i]! > threshold * largest);
  count.all = count.done + used.length * batches.length;
  const second = await runEach({ ...runs, outputs: { loss: graph.loss, ...graph.gradients(names) } }, used);
  const losses = first?.losses ?? second.losses;
  return {
    gradients: second.sums,
    losses: timesteps.map((step, i) => ({ timestep: step.value, loss: losses[i]!, used: used.includes(step) })),
  };
}

/** The loss that the paper calls L_t: the squared error of what is predicted, without the bound of a learned variance. */
function calibrationGraph(file: ModelFile, process: Process, rows: number) {
  const objective = objectiveOf(process);
  const batch = objective.inputs(file.model, rows);
  const p = new Params();
  const terms = objective.loss({ model: file.model, p, isTraining: false }, batch);
  const loss = weighted(terms.mse ?? terms.loss, batch.weight);
  return { loss, gradients: (names: readonly string[]) => gradientOutputs(loss, p, names) };
}

interface Runs {
  readonly engine: Engine;
  readonly file: ModelFile;
  /** The outputs of a run: `loss`, and gradients that are summed over all runs. */
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly batches: readonly NamedArrays[];
  readonly hooks: CalibrationHooks;
  readonly count: { done: number; all: number };
}

/** Every micro-batch at every timestep: the loss of each timestep, and the sums of all gradients by the weight's name. */
async function runEach(
  { engine, file, outputs, batches, hooks: { signal, onRun }, count }: Runs,
  timesteps: readonly Timestep[],
): Promise<{ losses: number[]; sums: ReadonlyMap<string, Float32Array> }> {
  const sums = new GradientSums();
  const losses = timesteps.map(() => 0);
  const runs = timesteps.flatMap(({ value, feeds }, at) =>
    batches.map((batch) => ({ at, value, feeds: { ...batch, ...feeds(batch.weight!.size) } })),
  );
  await runOver({ engine, weights: file.tensors, signal }, outputs, runs, (found, { at, value }) => {
    losses[at]! += Number(found.loss!.data[0]);
    if (!Number.isFinite(losses[at])) {
      throw new InputError(
        `${file.path}: the loss at timestep ${value} is ${losses[at]}, expected a finite number; look for such weights with tinyfusion inspect --check`,
      );
    }
    sums.add(found);
    onRun?.(++count.done, count.all);
  });
  return { losses, sums: sums.values };
}
