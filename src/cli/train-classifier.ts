/** `tinyfusion train-classifier`: train the digit classifier whose features FD-digits compares. */

import { cpus } from "node:os";
import { join } from "node:path";
import { NDArray } from "../array/ndarray.ts";
import { type LabeledImages, loadDigits } from "../data/digits.ts";
import { trainingSet } from "../data/training-set.ts";
import type { Engine } from "../engine/engine.ts";
import {
  classifierInput,
  type DigitClassifier,
  digitFeatures,
  loadDigitClassifier,
} from "../evaluation/features/digit-features.ts";
import { asFloat32, float32ToFloat16 } from "../formats/float16.ts";
import { encodeSafetensors } from "../formats/safetensors.ts";
import { type DigitClassifierConfig, digitClassifierConfig } from "../models/digit-classifier.ts";
import { requireWritableFolder, writeAtomically } from "../storage/atomic-write.ts";
import { readBytes, readText } from "../storage/read.ts";
import { parameterCount } from "../tasks/model-settings.ts";
import type { SettingTable, Values } from "../tasks/settings.ts";
import { loopSettings, optimizerSettings } from "../tasks/shared-settings.ts";
import { versions } from "../tasks/version.ts";
import { adamWDefaults } from "../training/adamw.ts";
import { CLASSIFIER_METADATA, type ClassifierSettings, classifierTask } from "../training/classifier.ts";
import type { RunFolder } from "../training/run-folder.ts";
import { weightSchedules } from "../training/weight-task.ts";
import { command } from "./command.ts";
import { checkLearning } from "./learning-checks.ts";
import { runTask } from "./run-task.ts";

const { microBatch: _none, ...optimizer } = optimizerSettings;

const options = {
  ...optimizer,
  steps: { ...optimizer.steps, fallback: 4000 },
  batchSize: { ...optimizer.batchSize, fallback: 64, min: 2 },
  learningRate: { ...optimizer.learningRate, fallback: 2e-3 },
  lrSchedule: { ...optimizer.lrSchedule, fallback: "cosine" },
  warmupSteps: { ...optimizer.warmupSteps, fallback: 100 },
  weightDecay: { ...optimizer.weightDecay, fallback: 0.01 },
  emaDecay: { ...optimizer.emaDecay, fallback: 0.999 },
  shift: { kind: "integer", fallback: 2, min: 0, max: 8, help: "pixels by which each image may move, each way" },
  export: { kind: "folder", help: "folder for classifier.safetensors (float16), its settings and its log" },
  ...loopSettings,
} as const satisfies SettingTable;

type Options = Values<typeof options>;

export const trainClassifier = command({
  name: "train-classifier",
  summary: "Train the digit classifier whose features FD-digits compares.",
  options,
  examples: ["tinyfusion train-classifier --out runs/classifier", "tinyfusion sample MODEL --evaluate   # uses it"],
  async run({ export: target, ...values }, context) {
    checkLearning(values, context);
    if (target !== undefined) requireWritableFolder(target);
    const digits = loadDigits();
    const data = trainingSet(digits.train, digitClassifierConfig.numClasses);
    let trained = 0;
    return runTask({
      command: "train-classifier",
      values,
      facts: { modelConfiguration: digitClassifierConfig, dataSha256: data.sha256 },
      context,
      data,
      plan: {
        examples: digits.train.labels.size,
        rows: [["model", classifierText(digitClassifierConfig)]],
        trained: () => trained,
      },
      async task(engine, plan) {
        const task = await classifierTask(engine, data, { ...settingsOf(values), ...plan });
        trained = parameterCount(task.checkpoint().files.weights.values());
        return task;
      },
      schedules: (plan, k) => weightSchedules({ ...settingsOf(values), ...plan }, k),
      async finish(folder, { step }, engine) {
        const file = join(folder.checkpointPath(step), "ema.safetensors");
        const { correct, total } = await heldOutHits(engine, digits.heldOut, loadDigitClassifier(file));
        if (target !== undefined) await exportClassifier(file, folder, target, values, engine, digits.heldOut);
        return [`${file}: ${correct} of ${total} held-out digits right`];
      },
    });
  },
});

const classifierText = ({ channels, featureSize, numClasses }: DigitClassifierConfig): string =>
  `digit classifier, ${channels.join(" and ")} channels, ${featureSize} features, ${numClasses} classes`;

async function heldOutHits(engine: Engine, { images, labels }: LabeledImages, classifier: DigitClassifier) {
  const { predicted } = await digitFeatures(engine, classifierInput(images), classifier);
  const correct = predicted.reduce((count, k, i) => count + (k === labels.data[i] ? 1 : 0), 0);
  return { correct, total: predicted.length, accuracy: correct / predicted.length };
}

/** Writes the classifier as it is shipped: float16 weights, how they were made, and the log. */
async function exportClassifier(
  file: string,
  run: RunFolder,
  folder: string,
  values: Omit<Options, "export">,
  engine: Engine,
  heldOut: LabeledImages,
): Promise<void> {
  const target = join(folder, "classifier.safetensors");
  const half = new Map(Array.from(loadDigitClassifier(file).weights, ([name, x]) => [name, toHalf(x)]));
  const settings = settingsOf(values);
  const metadata = JSON.stringify({ config: digitClassifierConfig, weights: "ema", settings });
  await writeAtomically(target, encodeSafetensors(half, { [CLASSIFIER_METADATA]: metadata }));
  const facts = {
    command: `tinyfusion ${process.argv.slice(2).join(" ")}`,
    settings: { ...settings, threads: values.threads },
    config: digitClassifierConfig,
    weights: "ema, rounded to float16",
    images: values.steps * values.batchSize,
    heldOut: await heldOutHits(engine, heldOut, loadDigitClassifier(target)),
    bytes: readBytes(target).length,
    versions: versions(),
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus()[0]?.model ?? "unknown"}, ${values.threads} thread(s) of ${cpus().length}, ${process.platform}`,
  };
  await writeAtomically(join(folder, "classifier.json"), `${JSON.stringify(facts, null, 2)}\n`);
  await writeAtomically(join(folder, "classifier.metrics.jsonl"), readText(join(run.path, "metrics.jsonl")));
}

const toHalf = (x: NDArray): NDArray =>
  new NDArray("float16", x.shape, float32ToFloat16(asFloat32(x).data as Float32Array)) as NDArray;

/** Only what the weights depend on: it is stored with them. */
function settingsOf(values: Omit<Options, "export">): ClassifierSettings {
  const { seed, shift, steps, batchSize, clipNorm, emaDecay, weightDecay } = values;
  const { learningRate: base, lrSchedule: kind, finalLr: final, warmupSteps } = values;
  return {
    ...{ seed, shift, steps, batchSize, clipNorm, emaDecay },
    learningRate: { base, kind, final, warmupSteps },
    emaWarmup: values.emaWarmup === "on",
    adamw: { ...adamWDefaults, weightDecay },
  };
}
