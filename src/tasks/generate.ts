/** Samples as many images as an evaluation needs, in a folder that can be completed after any stop. */
import { join } from "node:path";
import type { Engine } from "../engine/engine.ts";
import {
  defaultShardSize,
  type GeneratedSet,
  generateSet,
  type SetProgress,
} from "../sampling/generation/generate-set.ts";
import { labelModes } from "../sampling/sample-images.ts";
import { imageSide } from "./decoder-settings.ts";
import { type ModelSampling, modelName, modelSamplingSettings, openSampling, samplingRecord } from "./open-sampling.ts";
import { required, type SettingTable, type Values } from "./settings.ts";
import { startTask, type TaskContext, type TaskSettings } from "./task.ts";
import { versions } from "./version.ts";

/** Images in a shard of a large model: a killed task loses as much time as with 256 of a small one. */
const LARGE_SHARD = 16;

/** Settings of a set of sampled images. */
export const setSettings = {
  count: { kind: "integer", min: 1, max: 1e8, help: "images; a larger number completes an existing folder" },
  labels: { kind: "choice", choices: labelModes, fallback: "uniform", help: "class of each image" },
  shardSize: {
    kind: "integer",
    min: 1,
    max: 100_000,
    help: `images per shard [${defaultShardSize}; large models: ${LARGE_SHARD}]`,
  },
  ...modelSamplingSettings,
} as const satisfies SettingTable;

export const generateSettings = {
  file: { kind: "weights", help: "model" },
  ...setSettings,
  count: { ...setSettings.count, fallback: 50_000 },
  out: { kind: "folder", help: "folder for shards/, generate.json and samples.npz [generated/MODEL]" },
} as const satisfies SettingTable;

export interface GenerateResult extends GeneratedSet {
  readonly model: ModelSampling;
  /** Images of the whole set. */
  readonly count: number;
}

/**
 * Samples the images that are missing in a folder: a set that was stopped is completed by the same settings. Stopped, it
 * returns what is there.
 * @throws InputError for a file that is no model, settings that do not fit it, or a folder of other settings.
 */
export async function generate(settings: TaskSettings<typeof generateSettings>): Promise<GenerateResult> {
  const { values, context } = await startTask(generateSettings, settings);
  const engine = context.engine();
  const model = await openSampling(required("file", values.file), values, context, engine);
  imageSide("generate", model.file, model.decoder);
  const out = values.out ?? join("generated", modelName(model.file.path));
  return { ...(await sampleSet(model, { ...values, out }, context, engine)), model, count: values.count };
}

type SetValues = Values<typeof setSettings> & { readonly out: string; readonly count: number };

/** Samples what is missing in the folder `out`. @throws InputError for a folder of other settings. */
export async function sampleSet(
  model: ModelSampling,
  values: SetValues,
  context: TaskContext,
  engine: Engine,
): Promise<GeneratedSet> {
  const { out, count, labels: mode, threads } = values;
  const { decoder, classes, isLarge } = model;
  const { note, signal } = context;
  try {
    return await generateSet({
      engine,
      out,
      count,
      labels: { mode, classes },
      ...model.request,
      shardSize: values.shardSize ?? (isLarge ? LARGE_SHARD : defaultShardSize),
      ...(decoder && { decoder }),
      metadata: await samplingRecord(model, values),
      threads,
      versions: versions(),
      signal,
      onNote: note,
      onStart: (images) =>
        note(`generate: ${images === 0 ? `${count} images` : `${images} of ${count} images are`} in ${out}`),
      onProgress: progressOf(count, context),
    });
  } finally {
    await decoder?.release();
  }
}

/** Each evaluation, of which a log needs the first and the last batch. */
function progressOf(count: number, context: TaskContext): (progress: SetProgress) => void {
  let isFirst = true;
  return ({ images, newImages, atHand, seconds }) => {
    const isTransient = atHand > 0 || !(isFirst || images === count);
    if (!isTransient) isFirst = false;
    const pace = (newImages + atHand) / seconds;
    const secondsLeft = (count - images - atHand) / pace;
    context.progress({ step: images, steps: count, images, secondsLeft, line: { "images/s": pace }, isTransient });
  };
}
