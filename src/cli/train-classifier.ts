/** `tinyfusion train-classifier`: train the digit classifier whose features FD-digits compares. */
import { cpus } from "node:os";
import { join } from "node:path";
import { NDArray } from "../array/ndarray.ts";
import { type LabeledImages, loadDigits, pixelsToUnit } from "../data/digits.ts";
import { type DigitClassifier, digitFeatures, loadDigitClassifier } from "../evaluation/digit-features.ts";
import { asFloat32, float32ToFloat16 } from "../formats/float16.ts";
import { encodeSafetensors } from "../formats/safetensors.ts";
import { digitClassifierConfig } from "../models/digit-classifier.ts";
import { cpuEngine } from "../onnx/node-engine.ts";
import type { Engine } from "../onnx/session.ts";
import { writeAtomically } from "../storage/atomic-write.ts";
import { readBytes, readText } from "../storage/read.ts";
import { adamWDefaults } from "../training/adamw.ts";
import { CLASSIFIER_METADATA, type ClassifierSettings, classifierTask } from "../training/classifier.ts";
import type { TrainingSet } from "../training/examples.ts";
import { runLoop } from "../training/loop.ts";
import { RunFolder } from "../training/run-folder.ts";
import { command } from "./command.ts";
import { type OptionTable, required, type Values } from "./option.ts";
import { progressPrinter } from "./progress.ts";
import { loopOptions, optimizerOptions } from "./shared-options.ts";
import { versions } from "./version.ts";

const { microBatch: _none, ...optimizer } = optimizerOptions;
const { dryRun: _always, ...loop } = loopOptions;

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
  export: { kind: "text", help: "folder for classifier.safetensors (float16), its settings and its log" },
  ...loop,
} as const satisfies OptionTable;

type Options = Values<typeof options>;

export const trainClassifier = command({
  name: "train-classifier",
  summary: "Train the digit classifier whose features FD-digits compares.",
  options,
  examples: ["tinyfusion train-classifier --out runs/classifier", "tinyfusion sample MODEL --evaluate   # uses it"],
  async run(values, context) {
    const out = required("out", values.out);
    const digits = loadDigits();
    const folder = RunFolder.open(out);
    try {
      await folder.claim(
        { command: "train-classifier", ...repeatable(values), model: digitClassifierConfig, versions: versions() },
        values.extend,
      );
      const engine = cpuEngine({ threads: values.threads });
      const task = await classifierTask(engine, trainingSet(digits.train), settingsOf(values));
      const result = await runLoop(task, folder, values, {
        onStart: (step) => context.note(step > 0 ? `resumed at step ${step}` : `training ${out}`),
        onProgress: progressPrinter(),
        signal: context.signal,
      });
      if (!result.finished) {
        context.print(`stopped at step ${result.step}; the same command resumes`);
        return 130;
      }
      const file = join(folder.checkpointPath(result.step), "ema.safetensors");
      const { correct, total } = await heldOutHits(engine, digits.heldOut, loadDigitClassifier(file));
      context.print(`${file}: ${correct} of ${total} held-out digits right`);
      if (values.export !== undefined) await exportClassifier(values, file, out, engine, digits.heldOut);
      return 0;
    } finally {
      folder.close();
    }
  },
});

function trainingSet({ images, labels }: LabeledImages): TrainingSet {
  return { images: asPictures(images), labels, numClasses: digitClassifierConfig.numClasses };
}

function asPictures(images: NDArray<"uint8">): NDArray<"float32"> {
  const [n, h, w] = images.shape as readonly [number, number, number];
  return pixelsToUnit(images).reshape([n, 1, h, w]);
}

async function heldOutHits(engine: Engine, { images, labels }: LabeledImages, classifier: DigitClassifier) {
  const { predicted } = await digitFeatures(engine, asPictures(images), classifier);
  const correct = predicted.reduce((count, k, i) => count + (k === labels.data[i] ? 1 : 0), 0);
  return { correct, total: predicted.length, accuracy: correct / predicted.length };
}

/** Writes the classifier as it is shipped: float16 weights, how they were made, and the log. */
async function exportClassifier(
  values: Options,
  file: string,
  run: string,
  engine: Engine,
  heldOut: LabeledImages,
): Promise<void> {
  const folder = values.export!;
  const target = join(folder, "classifier.safetensors");
  const { weights } = loadDigitClassifier(file);
  const half = new Map(
    Array.from(weights, ([name, x]) => [
      name,
      new NDArray("float16", x.shape, float32ToFloat16(asFloat32(x).data)) as NDArray,
    ]),
  );
  const settings = { ...repeatable(values), model: digitClassifierConfig, weights: "ema" };
  await writeAtomically(target, encodeSafetensors(half, { [CLASSIFIER_METADATA]: JSON.stringify(settings) }));
  const facts = {
    command: `tinyfusion ${process.argv.slice(2).join(" ")}`,
    settings,
    images: values.steps * values.batchSize,
    heldOut: await heldOutHits(engine, heldOut, loadDigitClassifier(target)),
    bytes: readBytes(target).length,
    versions: versions(),
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus()[0]?.model ?? "unknown"}, ${values.threads} thread(s) of ${cpus().length}, ${process.platform}`,
  };
  await writeAtomically(join(folder, "classifier.json"), `${JSON.stringify(facts, null, 2)}\n`);
  await writeAtomically(join(folder, "classifier.metrics.jsonl"), readText(join(run, "metrics.jsonl")));
}

/** The options that must be the same for a run to be resumed. */
function repeatable(values: Options): Record<string, unknown> {
  const { out: _o, export: _e, extend: _x, logEvery: _l, saveEvery: _s, keepCheckpoints: _k, ...rest } = values;
  return rest;
}

function settingsOf(values: Options): ClassifierSettings {
  const { learningRate: base, lrSchedule: kind, finalLr: final, warmupSteps } = values;
  return {
    ...values,
    learningRate: { base, kind, final, warmupSteps },
    emaWarmup: values.emaWarmup === "on",
    adamw: { ...adamWDefaults, weightDecay: values.weightDecay },
  };
}
