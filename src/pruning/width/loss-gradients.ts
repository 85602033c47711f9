/** The gradient of the denoising loss, summed over the timesteps that still tell something (Diff-Pruning, section 3.3). */
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import type { TrainingSet } from "../../data/training-set.ts";
import type { Process } from "../../diffusion/process.ts";
import { gradient } from "../../graph/gradient.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { Params } from "../../nn/params.ts";
import type { Engine, NamedArrays, Session } from "../../onnx/session.ts";
import { weighted } from "../../training/objective.ts";
import { objectiveOf } from "../../training/objectives.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import { placeWeights } from "../../weights/placed-weights.ts";
import { spreadTimesteps, type Timestep } from "./timesteps.ts";

export interface CalibrationSettings {
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
  settings: CalibrationSettings,
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
  const gradients = (names: readonly string[]): Record<string, Tensor> => {
    const found = gradient(
      loss,
      names.map((name) => p.tensor(name)),
    );
    return Object.fromEntries(names.map((name, i) => [gradientName(name), found[i]!]));
  };
  return { loss, gradients };
}

const gradientName = (weight: string): string => `gradient of ${weight}`;

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
): Promise<{ losses: number[]; sums: Map<string, Float32Array> }> {
  const { fed, options } = placeWeights(file.tensors);
  const session: Session = await engine.compile({ outputs }, options);
  const sums = new Map<string, Float32Array>();
  const losses: number[] = [];
  try {
    for (const { value, feeds } of timesteps) {
      let loss = 0;
      for (const batch of batches) {
        signal?.throwIfAborted();
        const rows = batch.weight!.size;
        const found = await session.run({ ...fed, ...batch, ...feeds(rows) });
        loss += Number(found.loss!.data[0]);
        addGradients(sums, found);
        onRun?.(++count.done, count.all);
      }
      if (!Number.isFinite(loss)) {
        throw new InputError(
          `${file.path}: the loss at timestep ${value} is ${loss}, expected a finite number; look for such weights with tinyfusion inspect --check`,
        );
      }
      losses.push(loss);
    }
  } finally {
    await session.release();
  }
  return { losses, sums };
}

function addGradients(sums: Map<string, Float32Array>, found: Readonly<Record<string, NDArray>>): void {
  for (const [output, array] of Object.entries(found)) {
    if (output === "loss") continue;
    const name = output.slice(gradientName("").length);
    const values = array.data as Float32Array;
    const sum = sums.get(name);
    if (!sum) sums.set(name, values.slice());
    else for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + values[i]!;
  }
}
