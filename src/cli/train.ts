/** `tinyfusion train`: train a diffusion transformer on digits, a folder of images, IDX images or latents. */
import { join } from "node:path";
import type { Model } from "../models/registry.ts";
import { trainable } from "../nn/params.ts";
import { trainTask } from "../training/train.ts";
import { weightSchedules } from "../training/weight-task.ts";
import { type OpenedModel, weightSpecs } from "../weights/model-file.ts";
import { type CommandContext, command } from "./command.ts";
import { dataOptions, kindOfData, loadTrainingSet } from "./data-options.ts";
import { isPixelPreset, modelForImages } from "./image-folder-data.ts";
import {
  modelOptions,
  modelText,
  namedModel,
  openNamedModel,
  parameterCount,
  weightsOptions,
  weightsText,
} from "./model-options.ts";
import { type OptionTable, refuseIgnored, type Values } from "./option.ts";
import { runTask } from "./run-task.ts";
import { diffusionOptions, loopOptions, optimizerOptions, trainSettings, withFittingLabels } from "./shared-options.ts";
import { sampleOptions, trainingSamples } from "./training-samples.ts";

const options = {
  ...modelOptions,
  init: { kind: "weights", help: "model to start from, instead of random weights" },
  ...weightsOptions,
  ...dataOptions,
  ...optimizerOptions,
  ...diffusionOptions,
  ...loopOptions,
  ...sampleOptions,
} as const satisfies OptionTable;

type Options = Values<typeof options>;

export const train = command({
  name: "train",
  summary: "Train a diffusion transformer from scratch, or go on from a model file.",
  options,
  examples: [
    "tinyfusion train --model DiT-Digits --out runs/teacher --steps 30000 --batch-size 16 --learning-rate 2e-3",
    "tinyfusion train --data photographs --size 32 --out runs/photographs --learning-rate 2e-3   # class folders of images",
    "tinyfusion train --model DiT-Digits --out runs/teacher …   # the same settings again: resumes",
  ],
  async run(given, context) {
    if (given.init === undefined) {
      refuseIgnored(context.given, "random weights", ["weights"], "it chooses among the weights of --init");
    }
    const init = given.init === undefined ? undefined : await openInit(given.init, given, context);
    const model = init?.model ?? (await newModel(given, context.given));
    const values = withFittingLabels(given, model, context);
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

/** The model that the options name. Of a folder of images it is one of pixels, made for them, unless another is named. */
async function newModel(values: Options, given: ReadonlySet<string>): Promise<Model> {
  const name = given.has("model") ? values.model : "DiT-Pixels";
  const isForImages = kindOfData(values.data) === "images" && values.modelConfig === undefined && isPixelPreset(name);
  return isForImages ? modelForImages(name, values) : namedModel(values);
}

/** The model to start from; `--model` says what it is only if it was given, since it has a default. */
function openInit(path: string, values: Options, { given, note }: CommandContext): Promise<OpenedModel> {
  return openNamedModel(path, { ...values, model: given.has("model") ? values.model : undefined }, note);
}
