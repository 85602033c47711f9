/** `tinyfusion finetune`: recover a shallow model, best with its teacher. */

import { join } from "node:path";
import type { LayerMap } from "../models/layer-pairs.ts";
import { trainable } from "../nn/params.ts";
import { fileModelSettings, modelText, openOneOfTwo, parameterCount, weightsText } from "../tasks/model-settings.ts";
import { SettingError, type SettingTable, type Values } from "../tasks/settings.ts";
import {
  diffusionSettings,
  loopSettings,
  optimizerSettings,
  trainSettings,
  withFittingLabels,
} from "../tasks/shared-settings.ts";
import type { DistillKind } from "../training/distill.ts";
import { finetuneSchedules, finetuneTask } from "../training/finetune.ts";
import { type TrainSettings, trainTask } from "../training/train.ts";
import { weightSchedules } from "../training/weight-task.ts";
import { type OpenedModel, weightSpecs } from "../weights/model-file.ts";
import { command } from "./command.ts";
import { dataOptions, loadTrainingSet } from "./data-options.ts";
import { checkLearning } from "./learning-checks.ts";
import { runTask } from "./run-task.ts";
import { checkTeacher, layerMapOf } from "./teacher.ts";
import { sampleOptions, trainingSamples } from "./training-samples.ts";

const options = {
  teacher: { kind: "weights", help: "model to learn from; needed unless --distill none" },
  teacherWeights: { ...fileModelSettings.weights, help: "--weights of the teacher, where they differ" },
  distill: {
    kind: "choice",
    choices: ["none", "output", "features", "masked"],
    fallback: "masked",
    help: "what is learned from the teacher: nothing, predictions, also features, features without extremes",
  },
  maskSigma: {
    kind: "number",
    fallback: 2,
    above: 0,
    help: "features beyond this many standard deviations are masked",
  },
  share: { kind: "number", fallback: 0.9, min: 0, max: 1, help: "share of the distillation loss" },
  beta: {
    kind: "number",
    fallback: 1e-2,
    min: 0,
    zeroIsOff: true,
    help: "weight of the feature loss at the start; it falls to 0",
  },
  layerMap: { kind: "text", help: "student:teacher block pairs 0:1,1:3 [those in the model file]" },
  ...fileModelSettings,
  ...dataOptions,
  ...optimizerSettings,
  learningRate: { ...optimizerSettings.learningRate, fallback: 2e-4 },
  lrSchedule: { ...optimizerSettings.lrSchedule, fallback: "cosine" },
  finalLr: { ...optimizerSettings.finalLr, fallback: 1e-4 },
  ...diffusionSettings,
  ...loopSettings,
  ...sampleOptions,
} as const satisfies SettingTable;

type Options = Values<typeof options>;

export const finetune = command({
  name: "finetune",
  summary: "Recover a pruned model by fine-tuning, with masked knowledge distillation by default.",
  argument: "<student>",
  options,
  examples: [
    "tinyfusion finetune runs/mask/pruned.safetensors --teacher models/digits/teacher.safetensors --steps 400 --out runs/shallow",
    "tinyfusion finetune runs/mask/pruned.safetensors --distill none --steps 400 --out runs/plain",
  ],
  async run(given, context, path) {
    checkLearning(given, context);
    const student = await openOneOfTwo(path!, given, context.note);
    const values = withFittingLabels(given, student.model, context);
    const data = await loadTrainingSet(values, student.model.config, context, student);
    const teacher = await loadTeacher(values, context.note);
    const settings = trainSettings(values, student.model, student);
    const map = teacher && pairsWith(teacher, student, values, settings, context.note);
    return runTask({
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
      plan: {
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
        const { distill, maskSigma, share, beta } = values;
        const distillation = { kind: distill satisfies DistillKind, maskSigma, weight: share, layerMap: map };
        return finetuneTask(engine, student, teacher, data, { ...settings, ...plan, beta, distill: distillation });
      },
      start: weightsText(student),
      schedules: (plan, k) => {
        const planned = { ...settings, ...plan, beta: values.beta };
        return comparesFeatures(values.distill) ? finetuneSchedules(planned, k) : weightSchedules(planned, k);
      },
      hooks: trainingSamples(values, { model: student.model, process: settings.process, seed: values.seed }),
      finish: async (folder, { step }) => [join(folder.checkpointPath(step), "ema.safetensors")],
    });
  },
});

const comparesFeatures = (distill: Options["distill"]): boolean => distill === "features" || distill === "masked";

/** The blocks that are compared, once the two are known to go together. */
function pairsWith(
  teacher: OpenedModel,
  student: OpenedModel,
  values: Options,
  { process }: TrainSettings,
  note: (line: string) => void,
): LayerMap {
  const { distill, layerMap } = values;
  if (distill === "none") return [];
  checkTeacher(student, teacher, values, { distill, process, layerMap });
  return layerMapOf({ distill, process, layerMap }, student, teacher, note);
}

async function loadTeacher(values: Options, note: (line: string) => void): Promise<OpenedModel | undefined> {
  const { teacher, distill, model, modelConfig, teacherWeights, weights } = values;
  if (distill === "none") return undefined;
  if (teacher === undefined) throw new SettingError("--teacher is required to distill; without one use --distill none");
  return openOneOfTwo(teacher, { model, modelConfig, weights: teacherWeights ?? weights }, note);
}
