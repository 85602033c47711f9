/** Samples images from a model: a grid to look at, the numbers, and a record of what made them. */

import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { int32, type NDArray } from "../array/ndarray.ts";
import type { Engine } from "../engine/engine.ts";
import { type DigitEvaluation, scoreDigits } from "../evaluation/scores/digit-scores.ts";
import { encodeSafetensors } from "../formats/safetensors.ts";
import type { ModelConfig } from "../models/family.ts";
import { plannedSampling } from "../sampling/compile-sampler.ts";
import { type SampledImages, type SampleProgress, sampleImages } from "../sampling/sample-images.ts";
import { requireUsable } from "../sampling/usable-images.ts";
import { gridPng, hasImageChannels } from "./grid-png.ts";
import { type ModelSampling, modelName, modelSamplingSettings, openSampling, samplingRecord } from "./open-sampling.ts";
import { openSampleFolder } from "./sample-folder.ts";
import { labelsInTurn } from "./sampling-settings.ts";
import { required, type SettingTable, type Values } from "./settings.ts";
import { recordedDevice } from "./shared-settings.ts";
import { startTask, type TaskContext, type TaskSettings } from "./task.ts";
import { versions } from "./version.ts";

export const sampleSettings = {
  file: { kind: "weights", help: "model" },
  count: { kind: "integer", fallback: 64, min: 1, help: "images" },
  out: { kind: "folder", help: "folder for grid.png, samples.safetensors and samples.json [samples/MODEL]" },
  overwrite: { kind: "flag", help: "replace samples of other settings in that folder" },
  evaluate: { kind: "flag", help: "scores of 28 × 28 digits, as by evaluate" },
  ...modelSamplingSettings,
} as const satisfies SettingTable;

type SampleValues = Values<typeof sampleSettings>;

export interface SampleResult extends SampledImages {
  /** Paths of what was written; a grid only of images, not of latents. */
  readonly files: { readonly samples: string; readonly grid: string | undefined };
  /** How many images the grid shows. */
  readonly shown: number;
  readonly model: ModelSampling;
  readonly evaluation: DigitEvaluation | undefined;
}

/**
 * Samples images into a folder.
 * @throws InputError for a file or folder that does not fit the settings, DivergedError for values that are no image; the
 *   signal's reason, and then nothing is written.
 */
export async function sample(settings: TaskSettings<typeof sampleSettings>): Promise<SampleResult> {
  const { values, context } = await startTask(sampleSettings, settings);
  const engine = context.engine();
  const model = await openSampling(required("file", values.file), values, context, engine);
  if (values.evaluate) requireDigits(values.count, model.file.model.config);
  const out = values.out ?? join("samples", modelName(model.file.path));
  const source = await sourceOf(values, model, engine);
  const folder = openSampleFolder(out, source, values.overwrite);
  try {
    const { generated, shown } = await sampledGrid(values, model, { engine, context });
    const { images, labels, settings: used, derived, ...speed } = generated;
    const record = { ...source, settings: { ...source.settings, ...used }, ...derived, ...speed };
    const evaluation = values.evaluate
      ? await scoreDigits({ engine, images, labels, name: out, origin: record })
      : undefined;
    const files = await folder.write(
      encodeSafetensors(
        new Map<string, NDArray>([
          ["images", images],
          ["labels", int32(labels)],
        ]),
      ),
      shown && gridPng(shown, model.classes.length),
      { ...record, ...(evaluation && { digits: evaluation }), versions: versions() },
    );
    return { ...generated, files, shown: shown?.shape[0] ?? 0, model, evaluation };
  } finally {
    folder.close();
  }
}

/** @throws InputError for a model or number of images that has no scores, before any time is spent. */
function requireDigits(count: number, { inputSize, inChannels, numClasses }: ModelConfig): void {
  if (inputSize !== 28 || inChannels !== 1 || numClasses !== 10) {
    throw new InputError(
      `\`evaluate\` expects a model of digits (1 × 28 × 28, 10 classes); this model makes ${inChannels} × ${inputSize} × ` +
        `${inputSize} of ${numClasses} classes`,
    );
  }
  if (count < 20)
    throw new InputError(`\`evaluate\` needs \`count\` of at least 20 for a standard error, got ${count}`);
}

/** What the samples depend on, known before there are any. @throws InputError for settings that do not fit the model. */
async function sourceOf(
  { count, evaluate, seed, threads, device, ...values }: SampleValues,
  model: ModelSampling,
  engine: Engine,
) {
  const { modelFile, decoder, ...own } = await samplingRecord(model, values);
  const { settings } = await plannedSampling({ ...model.request, engine }, model.process, model.sampling);
  return {
    modelFile,
    settings: {
      count,
      classes: model.classes,
      seed,
      threads,
      ...recordedDevice({ device }),
      evaluate,
      ...own,
      ...settings,
    },
    ...(decoder && { decoder }),
  };
}

const MOST_SHOWN = 400;

/** The images, and those of the grid, decoded. @throws DivergedError for what is no image; the signal's reason. */
async function sampledGrid(
  { count }: SampleValues,
  { classes, request, decoder }: ModelSampling,
  { engine, context }: { readonly engine: Engine; readonly context: TaskContext },
): Promise<{ readonly generated: SampledImages; readonly shown?: NDArray<"float32"> }> {
  const { signal } = context;
  const onProgress = progressOf(count, context);
  const generated = await sampleImages({
    engine,
    labels: labelsInTurn(classes, count),
    ...request,
    onProgress,
    signal,
  });
  const { images, labels } = generated;
  if (!decoder && !hasImageChannels(images.shape[1]!)) return { generated };
  const first = images.rows(0, Math.min(labels.length, MOST_SHOWN));
  const shown = decoder ? await decoder.decode(first).finally(() => decoder.release()) : first;
  requireUsable({ first: 0, images: shown, labels: labels.subarray(0, MOST_SHOWN) }, "sample");
  return { generated, shown };
}

/** Each evaluation, of which a log needs the last of each batch. */
function progressOf(count: number, context: TaskContext): (progress: SampleProgress) => void {
  const started = performance.now();
  let before = 0;
  return ({ evaluations, of, images }) => {
    // Where the images decide how many evaluations they need, only finished images can be counted.
    const [step, steps] = of === undefined ? [images, count] : [evaluations, of];
    const secondsLeft = ((performance.now() - started) / 1000 / Math.max(step, 1)) * (steps - step);
    context.progress({ step, steps, images, secondsLeft, line: { of: count }, isTransient: images === before });
    before = images;
  };
}
