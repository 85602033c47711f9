/** Recovering a shallow model: fine-tuning with its teacher in the same graph. */
import { InputError } from "../array/input-error.ts";
import { float32 } from "../array/ndarray.ts";
import type { TrainingSet } from "../data/training-set.ts";
import type { Engine } from "../engine/engine.ts";
import { int8Engine } from "../engine/int8-engine.ts";
import { input } from "../graph/build.ts";
import type { Segment } from "../graph/recompute.ts";
import type { Tensor } from "../graph/tensor.ts";
import { int8Layers } from "../models/int8-layers.ts";
import { isLayerMap } from "../models/layer-pairs.ts";
import type { Model } from "../models/registry.ts";
import { Params } from "../nn/params.ts";
import { captureOutputs, captureStates } from "../nn/run-block.ts";
import type { ModelFile } from "../weights/model-file.ts";
import { bounds, requireSettings, requireTrainSettings } from "./check-settings.ts";
import { betaAt, type DistillSettings, distillDefaults, distillLoss } from "./distill.ts";
import { requireLabels } from "./examples.ts";
import { tracedLoss } from "./objective.ts";
import { objectiveOf } from "./objectives.ts";
import { scheduleAt } from "./rates.ts";
import { originOf, type TrainSettings, trainDefaults, weightTask } from "./train.ts";
import type { TracedLoss } from "./trainer.ts";
import { type WeightTask, type WeightTaskSettings, weightSchedules } from "./weight-task.ts";

export interface FinetuneSettings extends TrainSettings {
  readonly distill: DistillSettings;
  /** Weight of the feature loss at the first step; it falls to 0. */
  readonly beta: number;
  /** In which the linear layers of the teacher's blocks are computed; the student's are float32. */
  readonly teacherPrecision?: "float32" | "int8" | undefined;
}

/** The paper's recovery: from 2 · 10⁻⁴ to 10⁻⁴, masked distillation. The layer map is for the caller to choose. */
export const finetuneDefaults = {
  ...trainDefaults,
  learningRate: { base: 2e-4, kind: "cosine", final: 1e-4, warmupSteps: 0 },
  distill: { kind: "masked", ...distillDefaults },
  beta: 1e-2,
} as const satisfies Omit<FinetuneSettings, "distill" | "process"> & { distill: Omit<DistillSettings, "layerMap"> };

/** Scheduled values of step k (from 0). */
export function finetuneSchedules(settings: Pick<FinetuneSettings, keyof WeightTaskSettings | "beta">, step: number) {
  const { k, total } = scheduleAt(step, settings);
  return { ...weightSchedules(settings, step), beta: betaAt(settings.beta, k, total) };
}

const TEACHER = "teacher";

/**
 * A task that trains `student` from `teacher` on noised images.
 * @throws InputError for models of two families, a layer map of blocks that are not there, an empty one where features
 *   are compared, or dropped labels where a model has no class for "no label"; RangeError for a setting that is out
 *   of its bound.
 */
export async function finetuneTask(
  engine: Engine,
  student: ModelFile,
  teacher: ModelFile,
  data: TrainingSet,
  settings: FinetuneSettings,
): Promise<WeightTask> {
  const { weight, maskSigma } = settings.distill;
  requireTrainSettings(settings);
  requireSettings({
    beta: [settings.beta, bounds.notNegative],
    "distill.weight": [weight, bounds.fraction],
    "distill.maskSigma": [maskSigma, bounds.positive],
  });
  requireSameFamily(student.model, teacher.model);
  checkLayerMap(settings.distill, student.model, teacher.model);
  for (const { model } of [student, teacher]) requireLabels(model, settings);
  const p = new Params();
  const objective = objectiveOf(settings.process);
  const traced = distillationGraph(p, student.model, teacher.model, settings);
  const own = p.specs().filter(({ name }) => !name.startsWith(`${TEACHER}.`));
  const constants = new Map(Array.from(teacher.tensors, ([name, value]) => [`${TEACHER}.${name}`, value] as const));
  const batches = async (step: number) => {
    const beta = float32([finetuneSchedules(settings, step).beta], []);
    return (await objective.draw(student.model, data, settings, step)).map((feeds) => ({ ...feeds, beta }));
  };
  const { model, tensors } = student;
  const layers = int8Layers(teacher.model);
  const isTeacherLayer = (name: string) => name.startsWith(`${TEACHER}.`) && layers(name.slice(TEACHER.length + 1));
  return weightTask(
    settings.teacherPrecision === "int8" ? int8Engine(engine, isTeacherLayer) : engine,
    traced,
    own,
    { model, tensors, ...originOf(data, student) },
    { settings, batches, constants },
  );
}

function requireSameFamily({ family: student }: Model, { family: teacher }: Model): void {
  if (student.name === teacher.name) return;
  throw new InputError(`a ${student.name} cannot learn from a ${teacher.name}, which predicts something else`);
}

function checkLayerMap({ kind, layerMap }: DistillSettings, student: Model, teacher: Model): void {
  const [depth, teacherDepth] = [student.config.depth, teacher.config.depth];
  if (!isLayerMap(layerMap, depth, teacherDepth)) {
    const pairs = JSON.stringify(layerMap);
    throw new InputError(
      `layer map ${pairs}: expected pairs of the student's ${depth} and the teacher's ${teacherDepth} blocks`,
    );
  }
  if (kind !== "output" && layerMap.length === 0) {
    throw new InputError(`distilling ${kind} compares pairs of blocks, but the layer map is empty`);
  }
}

/** Student and teacher in one graph; only the student has dropout. */
function distillationGraph(
  p: Params,
  student: Model,
  teacher: Model,
  { microBatch, distill, process }: FinetuneSettings,
): TracedLoss {
  const objective = objectiveOf(process);
  const batch = objective.inputs(student, microBatch);
  const features = { student: new Map<number, Tensor>(), teacher: new Map<number, Tensor>() };
  const blocks: Segment[] = [];
  const runBlock = captureStates(blocks, captureOutputs(features.student));
  const distilled = objective.distill(
    { model: student, p, runBlock, isTraining: true },
    { model: teacher, p: p.at(TEACHER), runBlock: captureOutputs(features.teacher), isTraining: false },
    batch,
  );
  const terms = distillLoss(distilled, features.student, features.teacher, input("beta", []), distill);
  return { ...tracedLoss(terms, batch, p), blocks };
}
