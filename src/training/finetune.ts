/** Recovering a shallow model: fine-tuning with or without its teacher in the same graph. */
import { InputError } from "../array/input-error.ts";
import { float32, type NDArray } from "../array/ndarray.ts";
import { type Schedule, scheduleOf } from "../diffusion/schedule.ts";
import { input } from "../graph/build.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Model } from "../models/registry.ts";
import { Params, trainable } from "../nn/params.ts";
import { tap } from "../nn/run-block.ts";
import type { Engine } from "../onnx/session.ts";
import { batchInputs, weighted } from "./denoising-loss.ts";
import { betaAt, type DistillSettings, distillDefaults, distillLoss, isLayerMap, type TappedModel } from "./distill.ts";
import { drawBatch, type TrainingSet } from "./examples.ts";
import { describeModel, type ModelFile } from "./model-file.ts";
import { type TrainSettings, trainDefaults } from "./train.ts";
import { type TracedLoss, Trainer } from "./trainer.ts";
import { WeightTask } from "./weight-task.ts";

export interface FinetuneSettings extends TrainSettings {
  readonly distill: DistillSettings;
  /** Weight of the feature loss at the first step; it falls to 0. */
  readonly beta: number;
}

/** The paper's recovery: from 2 · 10⁻⁴ to 10⁻⁴, masked distillation. Which blocks are compared is for the caller to say. */
export const finetuneDefaults = {
  ...trainDefaults,
  learningRate: { base: 2e-4, kind: "cosine", final: 1e-4, warmupSteps: 0 },
  distill: { kind: "masked", ...distillDefaults },
  beta: 1e-2,
} as const satisfies Omit<FinetuneSettings, "distill"> & { distill: Omit<DistillSettings, "layerMap"> };

const TEACHER = "teacher";

/**
 * A task that trains `student` to imitate `teacher` on noised images.
 * @throws InputError for a layer map of blocks that are not there, or an empty one where features are compared.
 */
export async function finetuneTask(
  engine: Engine,
  student: ModelFile,
  teacher: ModelFile,
  data: TrainingSet,
  settings: FinetuneSettings,
): Promise<WeightTask> {
  checkLayerMap(settings.distill, student.model, teacher.model);
  const p = new Params();
  const schedule = scheduleOf(settings.process);
  const traced = distillationGraph(p, student.model, teacher.model, schedule, settings);
  const isTeachers = (name: string) => name.startsWith(`${TEACHER}.`);
  const own = p.specs().filter(({ name }) => !isTeachers(name));
  const trained = trainable(own);
  const isTrained = new Set(trained.map(({ name }) => name));
  const fixed = new Map<string, NDArray>([...student.tensors].filter(([name]) => !isTrained.has(name)));
  const taught = Array.from(teacher.tensors, ([name, value]) => [`${TEACHER}.${name}`, value] as const);
  const trainer = await Trainer.compile(engine, traced, trained, student.tensors, {
    fixed: { ...Object.fromEntries(fixed), ...Object.fromEntries(taught) },
    adamw: settings.adamw,
  });
  const draw = { ...settings, timesteps: schedule.betas.length };
  const batches = (step: number) => {
    const beta = float32([betaAt(settings.beta, step, settings.steps)], []);
    return drawBatch(data, draw, step).map((feeds) => ({ ...feeds, beta }));
  };
  const describe = (weights: "raw" | "ema", step: number) =>
    describeModel(student.model, {
      weights,
      images: student.images + step * settings.batchSize,
      prunings: student.prunings,
      process: settings.process,
    });
  return new WeightTask({ trainer, fixed, batches, describe }, settings);
}

function checkLayerMap({ kind, layerMap }: DistillSettings, student: Model, teacher: Model): void {
  const [own, taught] = [student.config.depth, teacher.config.depth];
  if (!isLayerMap(layerMap, own, taught)) {
    const pairs = JSON.stringify(layerMap);
    throw new InputError(
      `layer map ${pairs}: expected pairs of the student's ${own} and the teacher's ${taught} blocks`,
    );
  }
  if (kind !== "output" && layerMap.length === 0) {
    throw new InputError(`distilling ${kind} compares pairs of blocks, but the layer map is empty`);
  }
}

function tapped(model: Model, p: Params): TappedModel {
  const features = new Map<number, Tensor>();
  return { features, predict: (inputs) => model.family.predict(p, model.config, inputs, tap(features)) };
}

function distillationGraph(
  p: Params,
  student: Model,
  teacher: Model,
  schedule: Schedule,
  { microBatch, distill }: FinetuneSettings,
): TracedLoss {
  const batch = batchInputs(student, microBatch);
  const beta = input("beta", []);
  const models = [tapped(student, p), tapped(teacher, p.at(TEACHER))] as const;
  const { loss, mse, vb, distillation, features, truth } = distillLoss(...models, schedule, batch, beta, distill);
  const named = { loss, distillation, features, diffusion: truth, mse, vb };
  const terms = Object.fromEntries(
    Object.entries(named).flatMap(([name, x]) => (x ? [[name, weighted(x, batch.weight)] as const] : [])),
  );
  return { loss: terms.loss!, terms, tensorOf: (name) => p.tensor(name) };
}
