/** Recovers a shallow model by fine-tuning, best with its teacher. */
import type { LayerMap } from "../models/layer-pairs.ts";
import { trainable } from "../nn/params.ts";
import { samplingPrecisions } from "../sampling/sampling-settings.ts";
import type { DistillKind } from "../training/distill.ts";
import { finetuneSchedules, finetuneTask } from "../training/finetune.ts";
import { type TrainSettings, trainTask } from "../training/train.ts";
import { weightSchedules } from "../training/weight-task.ts";
import { type OpenedModel, weightSpecs } from "../weights/model-file.ts";
import { dataSettings, loadTrainingSet } from "./data-settings.ts";
import { fileModelSettings, modelText, openOneOfTwo, parameterCount, weightsText } from "./model-settings.ts";
import { required, SettingError, type SettingTable, type Values } from "./settings.ts";
import {
  diffusionSettings,
  loopSettings,
  optimizerSettings,
  trainSettings,
  withFittingLabels,
} from "./shared-settings.ts";
import { startTask, type TaskSettings } from "./task.ts";
import { checkTeacher, layerMapOf } from "./teacher.ts";
import { type TrainedFiles, trainedFiles } from "./train.ts";
import { planOf, type TrainingPlan } from "./training-plan.ts";
import { checkLearning, runTraining, type TrainingJob, type TrainingResult } from "./training-run.ts";
import { sampleSettings, trainingSamples } from "./training-samples.ts";

export const finetuneSettings = {
  student: { kind: "weights", help: "pruned model to recover" },
  teacher: { kind: "weights", help: "model to learn from; required unless `distill` is none" },
  teacherWeights: { ...fileModelSettings.weights, help: "`weights` of the teacher, where they differ" },
  teacherPrecision: {
    kind: "choice",
    choices: samplingPrecisions,
    help: "linear layers of the teacher's blocks [float32]",
  },
  distill: {
    kind: "choice",
    choices: ["none", "output", "features", "masked"],
    fallback: "masked",
    help: "distillation: none, of predictions, also of features, of masked features",
  },
  maskSigma: {
    kind: "number",
    fallback: 2,
    above: 0,
    help: "standard deviations beyond which features are masked",
  },
  distillWeight: { kind: "number", fallback: 0.9, min: 0, max: 1, help: "weight of the distillation loss" },
  beta: {
    kind: "number",
    fallback: 1e-2,
    min: 0,
    zeroIsOff: true,
    help: "initial weight of the feature loss; falls to 0",
  },
  layerMap: { kind: "text", help: "student:teacher pairs of blocks, such as 0:1,1:3 [the student's own]" },
  ...fileModelSettings,
  ...dataSettings,
  ...optimizerSettings,
  learningRate: { ...optimizerSettings.learningRate, fallback: 2e-4 },
  lrSchedule: { ...optimizerSettings.lrSchedule, fallback: "cosine" },
  finalLr: { ...optimizerSettings.finalLr, fallback: 1e-4 },
  ...diffusionSettings,
  ...loopSettings,
  ...sampleSettings,
} as const satisfies SettingTable;

type FinetuneValues = Values<typeof finetuneSettings>;

/**
 * Trains a pruned `student` in the run folder `out`, by default with masked knowledge distillation from its `teacher`
 * (TinyFusion, arXiv 2412.01199, section 3.4); called again with the same settings, it resumes.
 * @throws SettingError, InputError for models, data or a folder that do not fit; NonFiniteError for a loss that is not finite.
 */
export async function finetune(settings: TaskSettings<typeof finetuneSettings>): Promise<TrainingResult<TrainedFiles>> {
  return runTraining(await finetuneJob(settings, true));
}

/** What `finetune` would do, cost and take; writes nothing. */
export async function planFinetune(settings: TaskSettings<typeof finetuneSettings>): Promise<TrainingPlan> {
  return planOf(await finetuneJob(settings, false));
}

async function finetuneJob(
  given: TaskSettings<typeof finetuneSettings>,
  writes: boolean,
): Promise<TrainingJob<TrainedFiles>> {
  const { values: all, context } = await startTask(finetuneSettings, given);
  checkLearning(all, context);
  const student = await openOneOfTwo(required("student", all.student), all, context.note);
  const { student: _, ...values } = withFittingLabels(all, student.model, context);
  const data = await loadTrainingSet({ ...values, writes }, student.model.config, context, student);
  const teacher = await loadTeacher(values, context.note);
  const settings = trainSettings(values, student.model, student);
  const map = teacher && pairsWith(teacher, student, values, settings, context.note);
  return {
    command: "finetune",
    values,
    facts: {
      student: student.sha256,
      ...(teacher && { teacher: teacher.sha256, pairs: map }),
      modelConfiguration: { student: student.model.config, ...(teacher && { teacher: teacher.model.config }) },
      dataSha256: data.sha256,
    },
    context,
    data,
    planned: {
      examples: data.size,
      of: { model: student.model, process: settings.process },
      rows: [
        ["student", modelText(student.model)],
        ["teacher", teacher ? modelText(teacher.model) : "none"],
        ["layer map", map && map.length > 0 ? map.map((pair) => pair.join("→")).join(" ") : "none"],
      ],
      trained: () => parameterCount(trainable(weightSpecs(student.model))),
    },
    task: (engine, plan) => {
      if (!teacher || !map || values.distill === "none")
        return trainTask(engine, student.model, data, { ...settings, ...plan }, student);
      const { distill, maskSigma, distillWeight: weight, beta, teacherPrecision } = values;
      const distillation = { kind: distill satisfies DistillKind, maskSigma, weight, layerMap: map };
      const own = { ...settings, ...plan, beta, teacherPrecision, distill: distillation };
      return finetuneTask(engine, student, teacher, data, own);
    },
    start: weightsText(student),
    schedules: (plan, k) => {
      const planned = { ...settings, ...plan, beta: values.beta };
      return comparesFeatures(values.distill) ? finetuneSchedules(planned, k) : weightSchedules(planned, k);
    },
    hooks: trainingSamples(values, { model: student.model, process: settings.process, seed: values.seed }),
    finish: async (folder, { step }) => trainedFiles(folder.checkpointPath(step)),
  };
}

const comparesFeatures = (distill: FinetuneValues["distill"]): boolean =>
  distill === "features" || distill === "masked";

/** The blocks that are compared, once the two are known to go together. */
function pairsWith(
  teacher: OpenedModel,
  student: OpenedModel,
  values: Omit<FinetuneValues, "student">,
  { process }: TrainSettings,
  note: (line: string) => void,
): LayerMap {
  const { distill, layerMap } = values;
  if (distill === "none") return [];
  checkTeacher(student, teacher, values, { distill, process, layerMap });
  return layerMapOf({ distill, process, layerMap }, student, teacher, note);
}

async function loadTeacher(
  values: Omit<FinetuneValues, "student">,
  note: (line: string) => void,
): Promise<OpenedModel | undefined> {
  const { teacher, distill, model, modelConfig, teacherWeights, weights } = values;
  if (distill === "none") return undefined;
  if (teacher === undefined) throw new SettingError("`teacher` is required to distill; without one use `distill` none");
  return openOneOfTwo(teacher, { model, modelConfig, weights: teacherWeights ?? weights }, note);
}
