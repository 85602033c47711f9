/** `tinyfusion train`: train a diffusion transformer on digits or IDX images. */
import { join } from "node:path";
import { cpuEngine } from "../onnx/node-engine.ts";
import { adamWDefaults } from "../training/adamw.ts";
import { runLoop } from "../training/loop.ts";
import { loadModel } from "../training/model-file.ts";
import { RunFolder } from "../training/run-folder.ts";
import { type TrainSettings, trainTask } from "../training/train.ts";
import { command } from "./command.ts";
import { dataOptions, loadTrainingSet } from "./data-options.ts";
import { modelOptions, namedModel } from "./model-options.ts";
import { type OptionTable, required, type Values } from "./option.ts";
import { progressPrinter } from "./progress.ts";
import { loopOptions, optimizerOptions } from "./shared-options.ts";
import { versions } from "./version.ts";

const options = {
  ...modelOptions,
  init: { kind: "text", help: "model file to start from, instead of random weights" },
  ...dataOptions,
  ...optimizerOptions,
  labelDrop: { kind: "number", fallback: 0.1, min: 0, max: 1, help: "share of labels dropped, for guidance" },
  schedule: {
    kind: "choice",
    choices: ["linear", "squaredcos_cap_v2"],
    fallback: "linear",
    help: "noise schedule",
  },
  diffusionSteps: { kind: "integer", fallback: 1000, min: 1, help: "steps of the diffusion process" },
  ...loopOptions,
} as const satisfies OptionTable;

type Options = Values<typeof options>;

export const train = command({
  name: "train",
  summary: "Train a diffusion transformer from scratch, or go on from a model file.",
  options,
  examples: [
    "tinyfusion train --model DiT-Digits --out runs/teacher --steps 30000 --batch-size 16 --learning-rate 2e-3",
    "tinyfusion train --model DiT-Digits --out runs/teacher   # the same settings again: resumes",
  ],
  async run(values, context) {
    const out = required("out", values.out);
    const init = values.init === undefined ? undefined : loadModel(values.init);
    const model = init?.model ?? namedModel(values);
    const data = loadTrainingSet(values);
    const folder = RunFolder.open(out);
    try {
      await folder.claim(
        { command: "train", ...repeatable(values), model: model.config, versions: versions() },
        values.extend,
      );
      const engine = cpuEngine({ threads: values.threads });
      const task = await trainTask(engine, model, data, settingsOf(values), init);
      const result = await runLoop(task, folder, values, {
        onStart: (step) => context.note(step > 0 ? `resumed at step ${step}` : `training ${out}`),
        onProgress: progressPrinter(),
        signal: context.signal,
      });
      context.print(
        result.finished
          ? join(folder.checkpointPath(result.step), "ema.safetensors")
          : `stopped at step ${result.step}; the same command resumes`,
      );
      return result.finished ? 0 : 130;
    } finally {
      folder.close();
    }
  },
});

/** The options that must be the same for a run to be resumed. */
function repeatable(values: Options): Record<string, unknown> {
  const {
    out: _out,
    extend: _extend,
    dryRun: _dryRun,
    logEvery: _l,
    saveEvery: _s,
    keepCheckpoints: _k,
    ...rest
  } = values;
  return rest;
}

function settingsOf(values: Options): TrainSettings {
  return {
    ...values,
    microBatch: Math.max(2, Math.min(values.microBatch ?? values.batchSize, values.batchSize)),
    learningRate: {
      base: values.learningRate,
      kind: values.lrSchedule,
      final: values.finalLr,
      warmupSteps: values.warmupSteps,
    },
    emaWarmup: values.emaWarmup === "on",
    adamw: { ...adamWDefaults, weightDecay: values.weightDecay },
  };
}
