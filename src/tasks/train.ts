/** Trains a diffusion transformer on digits, a folder of images, IDX images or latents. */
import { join } from "node:path";
import type { Model } from "../models/registry.ts";
import { trainable } from "../nn/params.ts";
import { trainTask } from "../training/train.ts";
import { weightSchedules } from "../training/weight-task.ts";
import { type OpenedModel, weightSpecs } from "../weights/model-file.ts";
import {
  dataSettings,
  defaultPixelPreset,
  isPixelPreset,
  kindOfData,
  loadTrainingSet,
  modelForImages,
  pixelRecipe,
} from "./data-settings.ts";
import {
  modelSettings,
  modelText,
  namedModel,
  openNamedModel,
  parameterCount,
  weightsSettings,
  weightsText,
} from "./model-settings.ts";
import { quoted, refuseIgnored, type SettingTable, type Values } from "./settings.ts";
import {
  diffusionSettings,
  loopSettings,
  optimizerSettings,
  trainSettings as roomSettings,
  withFittingLabels,
} from "./shared-settings.ts";
import { startTask, type TaskContext, type TaskSettings } from "./task.ts";
import { planOf, type TrainingPlan } from "./training-plan.ts";
import { checkLearning, runTraining, type TrainingJob, type TrainingResult } from "./training-run.ts";
import { sampleSettings, trainingSamples } from "./training-samples.ts";

export const trainSettings = {
  ...modelSettings,
  init: { kind: "weights", help: "model to start from, instead of random weights" },
  ...weightsSettings,
  ...dataSettings,
  ...optimizerSettings,
  ...diffusionSettings,
  ...loopSettings,
  ...sampleSettings,
} as const satisfies SettingTable;

type TrainValues = Values<typeof trainSettings>;

/** The model files of a finished run. */
export interface TrainedFiles {
  /** The averaged weights (EMA), which the other tasks take. */
  readonly ema: string;
  /** The raw weights. */
  readonly weights: string;
  readonly checkpoint: string;
}

/**
 * Trains a model from scratch, or from `init`, in the run folder `out`; called again with the same settings, it resumes.
 * @throws SettingError, InputError for settings, data or a folder that do not fit; NonFiniteError for a loss that is not finite.
 */
export async function train(settings: TaskSettings<typeof trainSettings>): Promise<TrainingResult<TrainedFiles>> {
  return runTraining(await trainJob(settings, true));
}

/** What `train` would do, cost and take; writes nothing. */
export async function planTrain(settings: TaskSettings<typeof trainSettings>): Promise<TrainingPlan> {
  return planOf(await trainJob(settings, false));
}

/** `writes`: a folder of images is decoded into a cache beside the run, which a plan leaves alone. */
async function trainJob(
  settings: TaskSettings<typeof trainSettings>,
  writes: boolean,
): Promise<TrainingJob<TrainedFiles>> {
  const { values: given, context } = await startTask(trainSettings, settings);
  if (given.init === undefined) {
    refuseIgnored(context.given, "random weights", ["weights"], `it chooses among the weights of ${quoted("init")}`);
  }
  const init = given.init === undefined ? undefined : await openInit(given.init, given, context);
  const { model, chosen } = init ? { model: init.model, chosen: given } : await newModel(given, context);
  const values = withFittingLabels(chosen, model, context);
  checkLearning(values, context);
  const data = await loadTrainingSet({ ...values, writes }, model.config, context, init);
  const learning = roomSettings(values, model, init);
  return {
    command: "train",
    values,
    facts: { modelConfiguration: model.config, dataSha256: data.sha256, ...(init && { initSha256: init.sha256 }) },
    context,
    data,
    planned: {
      examples: data.size,
      of: { model, process: learning.process },
      rows: [["model", modelText(model)]],
      trained: () => parameterCount(trainable(weightSpecs(model))),
    },
    task: (engine, plan) => trainTask(engine, model, data, { ...learning, ...plan }, init),
    start: init && weightsText(init),
    schedules: (plan, k) => weightSchedules({ ...learning, ...plan }, k),
    hooks: trainingSamples(values, { model, process: learning.process, seed: values.seed }),
    finish: async (folder, { step }) => trainedFiles(folder.checkpointPath(step)),
  };
}

/** The files of a checkpoint. */
export const trainedFiles = (checkpoint: string): TrainedFiles => ({
  ema: join(checkpoint, "ema.safetensors"),
  weights: join(checkpoint, "weights.safetensors"),
  checkpoint,
});

/**
 * The model that the options name, and the options with what follows from it. Of a folder of images it is one of pixels,
 * made for them, unless another is named; it gets settings of its own where none are given.
 */
async function newModel(
  values: TrainValues,
  { given, note }: TaskContext,
): Promise<{ readonly model: Model; readonly chosen: TrainValues }> {
  const name = given.has("model") ? values.model : defaultPixelPreset;
  const isForImages = kindOfData(values.data) === "images" && values.modelConfig === undefined && isPixelPreset(name);
  if (!isForImages) return { model: namedModel(values), chosen: values };
  const model = await modelForImages(name, values);
  const recipe = Object.entries(pixelRecipe).filter(([option]) => !given.has(option));
  const settings = recipe.map(([option, value]) => `${quoted(option)} ${value}`).join(" ");
  note(`${name} for these images (${modelText(model)})${settings === "" ? "" : `, trained with ${settings}`}`);
  return { model, chosen: { ...values, model: name, ...Object.fromEntries(recipe) } };
}

/** The model to start from; `model` says what it is only if it was given, since it has a default. */
function openInit(path: string, values: TrainValues, { given, note }: TaskContext): Promise<OpenedModel> {
  return openNamedModel(path, { ...values, model: given.has("model") ? values.model : undefined }, note);
}
