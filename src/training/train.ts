/** Training a diffusion model on images: what `tinyfusion train` runs. */
import type { TrainingSet } from "../data/training-set.ts";
import type { Process } from "../diffusion/process.ts";
import type { Engine } from "../engine/engine.ts";
import type { Model } from "../models/registry.ts";
import { initialWeight } from "../nn/init.ts";
import { Params, trainable, type WeightSpec } from "../nn/params.ts";
import { describeModel, type ModelFile } from "../weights/model-file.ts";
import { readWeights, type Weight } from "../weights/placed-weights.ts";
import { type AdamWSettings, adamWDefaults } from "./adamw.ts";
import { requireCommonSettings, requireDrawSettings } from "./check-settings.ts";
import { requireLabels } from "./examples.ts";
import { trainingLoss } from "./objective.ts";
import { objectiveOf } from "./objectives.ts";
import { Trainer } from "./trainer.ts";
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
  ...{ seed: 0, steps: 10_000, batchSize: 32, microBatch: 32, labelDrop: 0.1 },
  learningRate: { base: 1e-4, kind: "constant", final: 0, warmupSteps: 0 },
  ...{ clipNorm: 1, emaDecay: 0.9999, emaWarmup: true, adamw: adamWDefaults, recompute: false },
} as const satisfies Omit<TrainSettings, "process">;

/**
 * A task that trains `model` from random weights, or goes on from `init`.
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
  requireCommonSettings(settings);
  requireDrawSettings(settings);
  requireLabels(model, settings);
  const p = new Params();
  const objective = objectiveOf(settings.process);
  const traced = trainingLoss(objective, { model, p, isTraining: true }, settings.microBatch);
  const start: ReadonlyMap<string, Weight> = init?.tensors ?? startOf(p.specs(), settings.seed);
  const trained = trainable(p.specs());
  const fixed = await readWeights(
    new Map(p.specs().flatMap(({ name, init: { kind } }) => (kind === "fixed" ? [[name, start.get(name)!]] : []))),
  );
  const classNames = data.classNames ?? init?.classNames;
  const trainer = await Trainer.compile(engine, traced, trained, start, {
    fixed,
    adamw: settings.adamw,
    recompute: settings.recompute,
  });
  return new WeightTask(
    {
      trainer,
      fixed,
      batches: (step) => objective.draw(model, data, settings, step),
      describe: (weights, step) =>
        describeModel(model, {
          weights,
          images: (init?.images ?? 0) + step * settings.batchSize,
          prunings: init?.prunings ?? [],
          process: settings.process,
          ...(classNames && { classNames }),
        }),
    },
    settings,
  );
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
