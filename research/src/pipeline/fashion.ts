/** Fashion-MNIST as a benchmark: its classifier and its teacher are trained first, as trials of their own. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  adamWDefaults,
  type ClassifierSettings,
  classifierInput,
  classifierTask,
  digitReference,
  InputError,
  type LabeledImages,
  loadIdx,
  loadModel,
  openDigitNetwork,
  predictedClasses,
  type TrainingSet,
  type TrainSettings,
  trainingSet,
  trainTask,
} from "tinyfusion";
import { preset } from "tinyfusion/models";
import type { StudyContext } from "../trials/trial.ts";
import {
  type BenchmarkModel,
  type OpenedBenchmark,
  openBenchmark,
  packagedBenchmark,
  studySampling,
} from "./benchmark.ts";
import type { Budget } from "./budget.ts";
import { REFERENCE_ROWS } from "./score-model.ts";
import { type TrainedTrial, trainedTrial } from "./trained-trial.ts";

const [STUDY, CLASSES] = ["fashion", 10];
/** Images that generated ones are compared with: the first of the file, whose classes are mixed. */
const REFERENCE = 10_000;

export interface FashionBenchmark extends BenchmarkModel {
  readonly classifier: TrainedTrial;
  readonly teacher: TrainedTrial;
}

/**
 * The images of the four files of the data.
 * @throws InputError saying what to install if they are not there, or that one is damaged.
 */
function loadFashion(folder: string): { readonly train: LabeledImages; readonly test: LabeledImages } {
  const file = (name: string): string => {
    const found = [`${name}.gz`, name].map((one) => join(folder, one)).find(existsSync);
    if (found !== undefined) return found;
    throw new InputError(
      `${folder}: expected Fashion-MNIST's IDX files, found no ${name}.gz; install Debian's package dataset-fashion-mnist or name their folder with --data`,
    );
  };
  const pair = (part: string) => loadIdx(file(`${part}-images-idx3-ubyte`), file(`${part}-labels-idx1-ubyte`));
  return { train: pair("train"), test: pair("t10k") };
}

/** The benchmark, with the trials that train what it needs; the files are read when a trial is computed. */
export function fashionBenchmark(budget: Budget, folder: string): FashionBenchmark {
  const digits = packagedBenchmark("dit", budget);
  const trainingData = () => trainingSet(loadFashion(folder).train, CLASSES);
  const common = { study: STUDY, data: trainingData, dataName: "fashion-mnist" };
  const classifier = trainedTrial({
    ...common,
    variant: "trained-classifier",
    settings: classifierSettings(budget),
    task: (context, data, settings) => classifierTask(context.engine, data, settings),
    measure: async (context, path) => ({ accuracy: await accuracyOf(context, path, loadFashion(folder).test) }),
  });
  const teacher = trainedTrial({
    ...common,
    variant: "trained-teacher",
    settings: teacherSettings(budget),
    // From the digits' teacher: patches, positions and times are learned already.
    init: digits.settings,
    task: async (context, data, { process: _, ...settings }) => {
      const { teacher: init } = await openBenchmark(context, digits);
      return trainTask(context.engine, init.model, data, { ...settings, process: init.process }, init);
    },
  });
  return {
    name: STUDY,
    model: preset("DiT-Digits"),
    settings: { data: "fashion-mnist" },
    needs: [classifier, teacher],
    sampling: studySampling("dit", budget),
    recoverySteps: budget.recoverySteps,
    recoveryRate: digits.recoveryRate,
    beta: digits.beta,
    classifier,
    teacher,
    open: (context) => open(context, folder, classifier, teacher),
  };
}

async function open(
  context: StudyContext,
  folder: string,
  classifier: TrainedTrial,
  teacher: TrainedTrial,
): Promise<OpenedBenchmark> {
  const { train, test } = loadFashion(folder);
  const data = trainingSet(train, CLASSES);
  for (const trial of [classifier, teacher]) requireSameData(context, trial, data, folder);
  return {
    teacher: await loadModel(await teacher.weights(context)),
    data,
    heldOut: trainingSet(test, CLASSES),
    reference: await digitReference(context.engine, {
      train: firstOf(train, REFERENCE),
      heldOut: test,
      classifier: await classifier.weights(context),
      rows: REFERENCE_ROWS,
    }),
  };
}

/** @throws InputError if a trial's weights were trained on other images. */
function requireSameData(context: StudyContext, trial: TrainedTrial, { sha256 }: TrainingSet, folder: string): void {
  const { dataSha256 } = context.result(trial);
  if (dataSha256 === sha256) return;
  throw new InputError(
    `${folder}: expected the images that ${trial.file} was trained on (SHA-256 ${dataSha256}), found others (${sha256}); name their folder with --data, or remove the trials of ${STUDY} to start over with these`,
  );
}

function firstOf({ images, labels }: LabeledImages, count: number): LabeledImages {
  const rows = Math.min(count, labels.size);
  return { images: images.rows(0, rows), labels: labels.rows(0, rows) };
}

/** Share of images that the classifier gets right. */
async function accuracyOf({ engine }: StudyContext, path: string, { images, labels }: LabeledImages): Promise<number> {
  const network = await openDigitNetwork(engine, path);
  const { probabilities } = await network.unrounded(classifierInput(images)).finally(() => network.release());
  const predicted = predictedClasses(probabilities);
  return predicted.reduce((count, k, i) => count + (k === labels.data[i] ? 1 : 0), 0) / predicted.length;
}

const warmupOf = (steps: number): number => Math.min(100, Math.floor(steps / 10));

/** The defaults of the command that trains the packaged classifier: clothes are moved by up to two pixels, too. */
const classifierSettings = ({ classifierSteps: steps }: Budget): ClassifierSettings => ({
  seed: 0,
  steps,
  batchSize: 64,
  shift: 2,
  clipNorm: 1,
  emaDecay: 0.999,
  emaWarmup: true,
  learningRate: { base: 2e-3, kind: "cosine", final: 0, warmupSteps: warmupOf(steps) },
  adamw: { ...adamWDefaults, weightDecay: 0.01 },
});

/** The packaged teacher's last phase: a rate that falls from 2e-3 to 2e-5. */
const teacherSettings = ({ teacherSteps: steps, name }: Budget): TrainSettings => ({
  seed: 0,
  steps,
  labelDrop: 0.1,
  recompute: false,
  clipNorm: 1,
  emaDecay: 0.9995,
  emaWarmup: true,
  ...(name === "full" ? { batchSize: 16, microBatch: 16 } : { batchSize: 4, microBatch: 4 }),
  learningRate: { base: 2e-3, kind: "cosine", final: 2e-5, warmupSteps: warmupOf(steps) },
  adamw: adamWDefaults,
  process: { kind: "gaussian", schedule: "squaredcos_cap_v2", steps: 1000 },
});
