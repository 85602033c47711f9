/** `tinyfusion finetune`: recover a shallow model, best with its teacher. */
import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { cpuEngine } from "../onnx/node-engine.ts";
import { parseLayerMap } from "../pruning/layer-map.ts";
import type { DistillKind, LayerMap } from "../training/distill.ts";
import { finetuneTask } from "../training/finetune.ts";
import { loadModel, type ModelFile } from "../training/model-file.ts";
import { trainTask } from "../training/train.ts";
import { command } from "./command.ts";
import { dataOptions, loadTrainingSet } from "./data-options.ts";
import { type OptionTable, UsageError, type Values } from "./option.ts";
import { runTask } from "./run-task.ts";
import { diffusionOptions, loopOptions, optimizerOptions, trainSettings } from "./shared-options.ts";

const options = {
  teacher: { kind: "text", help: "model file to learn from; needed unless --distill none" },
  distill: {
    kind: "choice",
    choices: ["none", "output", "features", "masked"],
    fallback: "masked",
    help: "what is learned from the teacher: nothing, predictions, also features, features without extremes",
  },
  maskSigma: { kind: "number", fallback: 2, min: 0, help: "features beyond this many standard deviations are masked" },
  share: { kind: "number", fallback: 0.9, min: 0, max: 1, help: "share of the distillation loss" },
  beta: { kind: "number", fallback: 1e-2, min: 0, help: "weight of the feature loss at the start; it falls to 0" },
  layerMap: { kind: "text", help: "student:teacher block pairs 0:1,1:3 [those in the model file]" },
  ...dataOptions,
  ...optimizerOptions,
  learningRate: { ...optimizerOptions.learningRate, fallback: 2e-4 },
  lrSchedule: { ...optimizerOptions.lrSchedule, fallback: "cosine" },
  finalLr: { ...optimizerOptions.finalLr, fallback: 1e-4 },
  ...diffusionOptions,
  ...loopOptions,
} as const satisfies OptionTable;

type Options = Values<typeof options>;

export const finetune = command({
  name: "finetune",
  summary: "Recover a pruned model by fine-tuning, with masked knowledge distillation by default.",
  argument: "<student.safetensors>",
  options,
  examples: [
    "tinyfusion finetune runs/mask/pruned.safetensors --teacher models/digits/teacher.safetensors --steps 400 --out runs/shallow",
    "tinyfusion finetune runs/mask/pruned.safetensors --distill none --steps 400 --out runs/plain",
  ],
  async run(values, context, path) {
    const student = loadModel(path!);
    const data = loadTrainingSet(values, student.model.config);
    const teacher = loadTeacher(values);
    const engine = cpuEngine({ threads: values.threads });
    const settings = trainSettings(values, student);
    const map = teacher && layerMapOf(values, student, teacher, context.note);
    return runTask({
      command: "finetune",
      values,
      facts: { student: student.sha256, ...(teacher && { teacher: teacher.sha256, pairs: map }) },
      context,
      task: () => {
        if (!teacher || !map || values.distill === "none")
          return trainTask(engine, student.model, data, settings, student);
        const { distill, maskSigma, share, beta } = values;
        const distillation = { kind: distill satisfies DistillKind, maskSigma, share, layerMap: map };
        return finetuneTask(engine, student, teacher, data, { ...settings, beta, distill: distillation });
      },
      finish: async (folder, { step }) => [join(folder.checkpointPath(step), "ema.safetensors")],
    });
  },
});

function loadTeacher({ teacher, distill }: Options): ModelFile | undefined {
  if (distill === "none") return undefined;
  if (teacher === undefined) throw new UsageError("--teacher is required to distill; without one use --distill none");
  return loadModel(teacher);
}

/** The pairs given, or those of the student's last pruning. */
function layerMapOf(values: Options, student: ModelFile, teacher: ModelFile, note: (line: string) => void): LayerMap {
  const depth = teacher.model.config.depth;
  if (values.layerMap !== undefined) return parseLayerMap(values.layerMap, student.model.config.depth, depth);
  const pruning = student.prunings.at(-1);
  if (values.distill === "output") return [];
  if (!pruning)
    throw new InputError(`${student.path} does not say which teacher blocks it stands for; give --layer-map`);
  if (pruning.parentDepth !== depth) {
    throw new InputError(
      `${student.path} was pruned from ${pruning.parentDepth} blocks, the teacher has ${depth}; give --layer-map`,
    );
  }
  if (pruning.parent !== teacher.sha256) note(`the teacher is not the file that ${student.path} was pruned from`);
  return pruning.layerMap;
}
