/** `tinyfusion train`: train a diffusion transformer on digits or IDX images. */
import { join } from "node:path";
import { cpuEngine } from "../onnx/node-engine.ts";
import { loadModel } from "../training/model-file.ts";
import { trainTask } from "../training/train.ts";
import { command } from "./command.ts";
import { dataOptions, loadTrainingSet } from "./data-options.ts";
import { modelOptions, namedModel } from "./model-options.ts";
import type { OptionTable } from "./option.ts";
import { runTask } from "./run-task.ts";
import { diffusionOptions, loopOptions, optimizerOptions, trainSettings } from "./shared-options.ts";

const options = {
  ...modelOptions,
  init: { kind: "text", help: "model file to start from, instead of random weights" },
  ...dataOptions,
  ...optimizerOptions,
  ...diffusionOptions,
  ...loopOptions,
} as const satisfies OptionTable;

export const train = command({
  name: "train",
  summary: "Train a diffusion transformer from scratch, or go on from a model file.",
  options,
  examples: [
    "tinyfusion train --model DiT-Digits --out runs/teacher --steps 30000 --batch-size 16 --learning-rate 2e-3",
    "tinyfusion train --model DiT-Digits --out runs/teacher …   # the same settings again: resumes",
  ],
  async run(values, context) {
    const init = values.init === undefined ? undefined : loadModel(values.init);
    const model = init?.model ?? namedModel(values);
    const data = loadTrainingSet(values, model.config);
    return runTask({
      command: "train",
      values,
      facts: { modelConfiguration: model.config, ...(init && { initSha256: init.sha256 }) },
      context,
      task: () => trainTask(cpuEngine({ threads: values.threads }), model, data, trainSettings(values, init), init),
      finish: async (folder, { step }) => [join(folder.checkpointPath(step), "ema.safetensors")],
    });
  },
});
