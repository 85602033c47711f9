/** Trains the digit classifier whose features FD-digits compares. */

import { cpus } from "node:os";
import { join } from "node:path";
import { NDArray } from "../array/ndarray.ts";
import { type LabeledImages, loadDigits } from "../data/digits.ts";
import { trainingSet } from "../data/training-set.ts";
import type { Engine } from "../engine/engine.ts";
import {
  classifierInput,
  classifierWeights,
  openDigitNetwork,
  predictedClasses,
} from "../evaluation/features/digit-network.ts";
import { asFloat32, float32ToFloat16 } from "../formats/float16.ts";
import { encodeSafetensors } from "../formats/safetensors.ts";
import { type DigitClassifierConfig, digitClassifierConfig } from "../models/digit-classifier.ts";
import { requireWritableFolder, writeAtomically } from "../storage/atomic-write.ts";
import { readBytes, readText } from "../storage/read.ts";
import { adamWDefaults } from "../training/adamw.ts";
import { CLASSIFIER_METADATA, type ClassifierSettings, classifierTask } from "../training/classifier.ts";
import type { RunFolder } from "../training/run-folder.ts";
import { weightSchedules } from "../training/weight-task.ts";
import { parameterCount } from "./model-settings.ts";
import type { SettingTable, Values } from "./settings.ts";
import { loopSettings, optimizerSettings, recordedDevice } from "./shared-settings.ts";
import { startTask, type TaskSettings } from "./task.ts";
import { type TrainedFiles, trainedFiles } from "./train.ts";
import { planOf, type TrainingPlan } from "./training-plan.ts";
import { checkLearning, runTraining, type TrainingJob, type TrainingResult } from "./training-run.ts";
import { versions } from "./version.ts";

const { microBatch: _none, ...optimizer } = optimizerSettings;

export const trainClassifierSettings = {
  ...optimizer,
  steps: { ...optimizer.steps, fallback: 4000 },
  batchSize: { ...optimizer.batchSize, fallback: 64, min: 2 },
  learningRate: { ...optimizer.learningRate, fallback: 2e-3 },
  lrSchedule: { ...optimizer.lrSchedule, fallback: "cosine" },
  warmupSteps: { ...optimizer.warmupSteps, fallback: 100 },
  weightDecay: { ...optimizer.weightDecay, fallback: 0.01 },
  emaDecay: { ...optimizer.emaDecay, fallback: 0.999 },
  shift: { kind: "integer", fallback: 2, min: 0, max: 8, help: "largest random shift of an image, in pixels" },
  export: { kind: "folder", help: "folder for classifier.safetensors (float16), settings and log" },
  ...loopSettings,
} as const satisfies SettingTable;

type Options = Values<typeof trainClassifierSettings>;

export interface TrainedClassifier extends TrainedFiles {
  /** Held-out digits that the averaged weights get right, and how many there are. */
  readonly correct: number;
  readonly total: number;
}

/**
 * Trains the digit classifier whose features FD-digits compares, in the run folder `out`; `export` gets it as it is shipped.
 * @throws SettingError, InputError for settings or a folder that do not fit; NonFiniteError for a loss that is not finite.
 */
export async function trainClassifier(
  settings: TaskSettings<typeof trainClassifierSettings>,
): Promise<TrainingResult<TrainedClassifier>> {
  return runTraining(await classifierJob(settings));
}

/** What `trainClassifier` would do, cost and take; writes nothing. */
export async function planTrainClassifier(
  settings: TaskSettings<typeof trainClassifierSettings>,
): Promise<TrainingPlan> {
  return planOf(await classifierJob(settings));
}

async function classifierJob(
  settings: TaskSettings<typeof trainClassifierSettings>,
): Promise<TrainingJob<TrainedClassifier>> {
  const {
    values: { export: target, ...values },
    context,
  } = await startTask(trainClassifierSettings, settings);
  checkLearning(values, context);
  if (target !== undefined) requireWritableFolder(target);
  const digits = loadDigits();
  const data = trainingSet(digits.train, digitClassifierConfig.numClasses);
  let trained = 0;
  return {
    command: "train-classifier",
    values,
    facts: { modelConfiguration: digitClassifierConfig, dataSha256: data.sha256 },
    context,
    data,
    planned: {
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
      const files = trainedFiles(folder.checkpointPath(step));
      const { correct, total } = await heldOutHits(engine, digits.heldOut, files.ema);
      if (target !== undefined) {
        const { command } = context;
        await exportClassifier(files.ema, folder, target, { values, engine, command, heldOut: digits.heldOut });
      }
      return { ...files, correct, total };
    },
  };
}

const classifierText = ({ channels, featureSize, numClasses }: DigitClassifierConfig): string =>
  `digit classifier, ${channels.join(" and ")} channels, ${featureSize} features, ${numClasses} classes`;

async function heldOutHits(engine: Engine, { images, labels }: LabeledImages, path: string) {
  const network = await openDigitNetwork(engine, path);
  const { probabilities } = await network.unrounded(classifierInput(images)).finally(() => network.release());
  const predicted = predictedClasses(probabilities);
  const correct = predicted.reduce((count, k, i) => count + (k === labels.data[i] ? 1 : 0), 0);
  return { correct, total: predicted.length, accuracy: correct / predicted.length };
}

/** What made a classifier, and what judges it. */
interface ClassifierRun {
  readonly values: Omit<Options, "export">;
  readonly engine: Engine;
  readonly command: string | undefined;
  readonly heldOut: LabeledImages;
}

/** Writes the classifier as it is shipped: float16 weights, how they were made, and the log. */
async function exportClassifier(
  file: string,
  run: RunFolder,
  folder: string,
  { values, engine, command, heldOut }: ClassifierRun,
): Promise<void> {
  const target = join(folder, "classifier.safetensors");
  const stored = new Map(Array.from(classifierWeights(file), ([name, x]) => [name, toFloat16(x)]));
  const settings = settingsOf(values);
  const metadata = JSON.stringify({ config: digitClassifierConfig, weights: "ema", settings });
  await writeAtomically(target, encodeSafetensors(stored, { [CLASSIFIER_METADATA]: metadata }));
  const facts = {
    command,
    settings: { ...settings, threads: values.threads, ...recordedDevice(values) },
    config: digitClassifierConfig,
    weights: "ema, rounded to float16",
    images: values.steps * values.batchSize,
    heldOut: await heldOutHits(engine, heldOut, target),
    bytes: readBytes(target).length,
    versions: versions(),
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus()[0]?.model ?? "unknown"}, ${values.threads} thread(s) of ${cpus().length}, ${process.platform}`,
  };
  await writeAtomically(join(folder, "classifier.json"), `${JSON.stringify(facts, null, 2)}\n`);
  await writeAtomically(join(folder, "classifier.metrics.jsonl"), readText(join(run.path, "metrics.jsonl")));
}

const toFloat16 = (x: NDArray): NDArray =>
  new NDArray("float16", x.shape, float32ToFloat16(asFloat32(x).data as Float32Array)) as NDArray;

/** Only what the weights depend on: it is stored with them. */
function settingsOf(values: Omit<Options, "export">): ClassifierSettings {
  const { seed, shift, steps, batchSize, clipNorm, emaDecay, weightDecay } = values;
  const { learningRate: base, lrSchedule: kind, finalLr: final, warmupSteps } = values;
  return {
    seed,
    shift,
    steps,
    batchSize,
    clipNorm,
    emaDecay,
    learningRate: { base, kind, final, warmupSteps },
    emaWarmup: values.emaWarmup === "on",
    adamw: { ...adamWDefaults, weightDecay },
  };
}
