/** `tinyfusion train`: train a diffusion transformer on digits, a folder of images, IDX images or latents. */

import { join } from "node:path";
import type { Model } from "../models/registry.ts";
import { trainable } from "../nn/params.ts";
import {
  modelSettings,
  modelText,
  namedModel,
  openNamedModel,
  parameterCount,
  weightsSettings,
  weightsText,
} from "../tasks/model-settings.ts";
import { refuseIgnored, type SettingTable, type Values } from "../tasks/settings.ts";
import {
  diffusionSettings,
  loopSettings,
  optimizerSettings,
  trainSettings,
  withFittingLabels,
} from "../tasks/shared-settings.ts";
import { trainTask } from "../training/train.ts";
import { weightSchedules } from "../training/weight-task.ts";
import { type OpenedModel, weightSpecs } from "../weights/model-file.ts";
import { type CommandContext, command } from "./command.ts";
import { dataOptions, kindOfData, loadTrainingSet } from "./data-options.ts";
import { flagOf } from "./flags.ts";
import { defaultPixelPreset, isPixelPreset, modelForImages, pixelRecipe } from "./image-folder-data.ts";
import { checkLearning } from "./learning-checks.ts";
import { runTask } from "./run-task.ts";
import { sampleOptions, trainingSamples } from "./training-samples.ts";

const options = {
  ...modelSettings,
  init: { kind: "weights", help: "model to start from, instead of random weights" },
  ...weightsSettings,
  ...dataOptions,
  ...optimizerSettings,
  ...diffusionSettings,
  ...loopSettings,
  ...sampleOptions,
} as const satisfies SettingTable;

type Options = Values<typeof options>;

export const train = command({
  name: "train",
  summary: "Train a diffusion transformer from scratch, or go on from a model file.",
  options,
  examples: [
    "tinyfusion train --model DiT-Digits --out runs/teacher --steps 30000 --batch-size 16 --learning-rate 2e-3",
    "tinyfusion train --data photographs --size 32 --out runs/photographs   # class folders: a SiT-Pixels, 6000 steps of 8, rate 3e-3",
    "tinyfusion train --model DiT-Digits --out runs/teacher …   # the same settings again: resumes",
  ],
  async run(given, context) {
    if (given.init === undefined) {
      refuseIgnored(context.given, "random weights", ["weights"], "it chooses among the weights of --init");
    }
    const init = given.init === undefined ? undefined : await openInit(given.init, given, context);
    const { model, chosen } = init ? { model: init.model, chosen: given } : await newModel(given, context);
    const values = withFittingLabels(chosen, model, context);
    checkLearning(values, context);
    const data = await loadTrainingSet(values, model.config, context, init);
    const settings = trainSettings(values, model, init);
    return runTask({
      command: "train",
      values,
      facts: {
        modelConfiguration: model.config,
        dataSha256: data.sha256,
        ...(init && { initSha256: init.sha256 }),
      },
      context,
      data,
      plan: {
        examples: data.size,
        of: { model, process: settings.process },
        rows: [["model", modelText(model)]],
        trained: () => parameterCount(trainable(weightSpecs(model))),
      },
      task: (engine, plan) => trainTask(engine, model, data, { ...settings, ...plan }, init),
      start: init && weightsText(init),
      schedules: (plan, k) => weightSchedules({ ...settings, ...plan }, k),
      hooks: trainingSamples(values, { model, process: settings.process, seed: values.seed }),
      finish: async (folder, { step }) => [join(folder.checkpointPath(step), "ema.safetensors")],
    });
  },
});

/**
 * The model that the options name, and the options with what follows from it. Of a folder of images it is one of pixels,
 * made for them, unless another is named; it gets settings of its own where none are given.
 */
async function newModel(
  values: Options,
  { given, note }: CommandContext,
): Promise<{ readonly model: Model; readonly chosen: Options }> {
  const name = given.has("model") ? values.model : defaultPixelPreset;
  const isForImages = kindOfData(values.data) === "images" && values.modelConfig === undefined && isPixelPreset(name);
  if (!isForImages) return { model: namedModel(values), chosen: values };
  const model = await modelForImages(name, values);
  const recipe = Object.entries(pixelRecipe).filter(([option]) => !given.has(option));
  const settings = recipe.map(([option, value]) => `${flagOf(option)} ${value}`).join(" ");
  note(`${name} for these images (${modelText(model)})${settings === "" ? "" : `, trained with ${settings}`}`);
  return { model, chosen: { ...values, model: name, ...Object.fromEntries(recipe) } };
}

/** The model to start from; `--model` says what it is only if it was given, since it has a default. */
function openInit(path: string, values: Options, { given, note }: CommandContext): Promise<OpenedModel> {
  return openNamedModel(path, { ...values, model: given.has("model") ? values.model : undefined }, note);
}
