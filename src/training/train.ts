/** Training a diffusion model on images: what `tinyfusion train` runs. */
import type { TrainingSet } from "../data/training-set.ts";
import type { Process } from "../diffusion/process.ts";
import type { Engine, NamedArrays, Weight } from "../engine/engine.ts";
import type { Model } from "../models/registry.ts";
import { initialWeight } from "../nn/init.ts";
import { Params, trainable, type WeightSpec } from "../nn/params.ts";
import { describeModel, type ModelFile } from "../weights/model-file.ts";
import { readWeights } from "../weights/read-weights.ts";
import { type AdamWSettings, adamWDefaults } from "./adamw.ts";
import { requireTrainSettings } from "./check-settings.ts";
import { requireLabels } from "./examples.ts";
import { trainingLoss } from "./objective.ts";
import { objectiveOf } from "./objectives.ts";
import { type TracedLoss, Trainer } from "./trainer.ts";
import { WeightTask, type WeightTaskSettings } from "./weight-task.ts";

export interface TrainSettings extends WeightTaskSettings {
  readonly seed: number;
  readonly microBatch: number;
  readonly labelDrop: number;
  readonly process: Process;
  readonly adamw: AdamWSettings;
  /** Whether the backward pass computes blocks again: less memory, more time. */
  readonly recompute: boolean;
}

/** Those of the command `train`: AdamW at 10⁻⁴ without decay, one label in ten dropped. Micro-batches are whole batches. */
export const trainDefaults = {
  seed: 0,
  steps: 10_000,
  batchSize: 32,
  microBatch: 32,
  labelDrop: 0.1,
  learningRate: { base: 1e-4, kind: "constant", final: 0, warmupSteps: 0 },
  clipNorm: 1,
  emaDecay: 0.9999,
  emaWarmup: true,
  adamw: adamWDefaults,
  recompute: false,
} as const satisfies Omit<TrainSettings, "process">;

/**
 * A task that trains `model` from random weights, or from those of `init`.
 * @throws InputError for labels that are to be dropped where the model has no class for "no label"; RangeError for a
 *   setting that is out of its bound.
 */
export async function trainTask(
  engine: Engine,
  model: Model,
  data: TrainingSet,
  settings: TrainSettings,
  init?: ModelFile,
): Promise<WeightTask> {
  requireTrainSettings(settings);
  requireLabels(model, settings);
  const p = new Params();
  const objective = objectiveOf(settings.process);
  const traced = trainingLoss(objective, { model, p, isTraining: true }, settings.microBatch);
  const start = { model, tensors: init?.tensors ?? startOf(p.specs(), settings.seed), ...originOf(data, init) };
  const batches = (step: number) => objective.draw(model, data, settings, step);
  return weightTask(engine, traced, p.specs(), start, { settings, batches });
}

/** The initial weights of a task and their metadata. */
export type Start = Pick<ModelFile, "model" | "images" | "prunings" | "classNames"> & {
  readonly tensors: ReadonlyMap<string, Weight>;
};

/** Where the weights come from; class names are those of the data, if it has any. */
export function originOf({ classNames: own }: TrainingSet, init?: ModelFile): Omit<Start, "model" | "tensors"> {
  const classNames = own ?? init?.classNames;
  return { images: init?.images ?? 0, prunings: init?.prunings ?? [], ...(classNames && { classNames }) };
}

/** The task that trains those weights of `specs` that may change. `constants` are further weights of the graph: a teacher's. */
export async function weightTask(
  engine: Engine,
  traced: TracedLoss,
  specs: readonly WeightSpec[],
  { tensors, model, images, ...origin }: Start,
  parts: {
    readonly settings: TrainSettings;
    readonly batches: (step: number) => Promise<NamedArrays[]>;
    readonly constants?: ReadonlyMap<string, Weight>;
  },
): Promise<WeightTask> {
  const { settings, batches, constants = [] } = parts;
  const { adamw, recompute, process, batchSize } = settings;
  const trained = trainable(specs);
  const fixedSpecs = specs.filter((spec) => !trained.includes(spec));
  const fixed = await readWeights(new Map(fixedSpecs.map(({ name }) => [name, tensors.get(name)!])));
  const trainer = await Trainer.compile(engine, traced, trained, tensors, {
    fixed: new Map<string, Weight>([...fixed, ...constants]),
    adamw,
    recompute,
  });
  const describe = (weights: "raw" | "ema", step: number) =>
    describeModel(model, { weights, images: images + step * batchSize, process, ...origin });
  return new WeightTask({ trainer, fixed, batches, describe }, settings);
}

/** Starting values that are made when they are asked for: all at once they would double the memory of a large model. */
function startOf(specs: readonly WeightSpec[], seed: number): Map<string, Weight> {
  return new Map(
    specs.map((spec) => {
      const { name, shape } = spec;
      return [name, { name, dtype: "float32", shape, read: async () => initialWeight(spec, seed) }];
    }),
  );
}
