/** Drawing the images of an evaluation into a folder that can be completed: for `generate`, and for `evaluate` of a model. */

import type { Engine } from "../engine/engine.ts";
import {
  defaultShardSize,
  type GeneratedSet,
  generateSet,
  type SetProgress,
} from "../sampling/generation/generate-set.ts";
import { labelModes } from "../sampling/generation/labels.ts";
import { type Decoder, imageSide, openDecoder } from "../tasks/decoder-settings.ts";
import type { SettingTable, Values } from "../tasks/settings.ts";
import { versions } from "../tasks/version.ts";
import type { CommandContext } from "./command.ts";
import { type Drawing, drawerOptions, drawerText, drawingOptions, modelFacts, openDrawing } from "./drawing.ts";
import { cacheLines } from "./sampling-lines.ts";

/** Images of a shard of a large model: what a killed command loses takes as long as 256 of a small one. */
const LARGE_SHARD = 16;

export const setOptions = {
  count: {
    kind: "integer",
    min: 1,
    max: 1e8,
    help: "images; with more than last time, the same command draws the others",
  },
  labels: {
    kind: "choice",
    choices: labelModes,
    fallback: "uniform",
    help: "class of each image: at random, as for the published numbers of ADM, DiT and TinyFusion, or all in turn, as MAR's",
  },
  ...drawingOptions,
  classes: { kind: "text", help: "only these classes, as 0,1,2 or, of ImageNet's, by name [all of the model's]" },
  shardSize: {
    kind: "integer",
    min: 1,
    max: 100_000,
    help: `images of a shard, the most that a killed command loses [${defaultShardSize}; ${LARGE_SHARD} for large models]`,
  },
  ...drawerOptions,
} as const satisfies SettingTable;

type SetValues = Values<typeof setOptions> & { readonly out: string; readonly count: number };

export interface DrawnSet extends GeneratedSet {
  /** How many images this run has drawn, how fast, and by which weights and blocks; nothing if it drew none. */
  readonly speed: readonly string[];
}

/** A model that is to draw, and what makes pictures of its latents; nothing of them is compiled. */
export interface Drawer {
  readonly drawing: Drawing;
  readonly decoder: Decoder | undefined;
  /** Pixels along a side of the pictures. */
  readonly side: number;
}

/**
 * Opens what will draw for a command, before any time is spent.
 * @throws InputError for a file that is no model, options that do not fit it, or latents without an autoencoder.
 */
export async function openDrawer(
  command: string,
  path: string,
  values: Values<typeof setOptions>,
  context: CommandContext,
  engine: Engine,
): Promise<Drawer> {
  const drawing = await openDrawing(path, values, context);
  const decoder = await openDecoder(values, drawing.file.model.config, engine, context.note);
  return { drawing, decoder, side: imageSide(command, drawing.file, decoder) };
}

/** Draws what is missing in the folder `out`. @throws InputError for a folder of other settings. */
export async function drawSet(
  { drawing, decoder }: Drawer,
  values: SetValues,
  context: CommandContext,
  engine: Engine,
): Promise<DrawnSet> {
  const { out, count } = values;
  try {
    const { note, signal } = context;
    const set = await generateSet({
      ...{ engine, out, count, labels: { mode: values.labels, classes: drawing.classes } },
      ...drawing.request,
      shardSize: values.shardSize ?? (drawing.isLarge ? LARGE_SHARD : defaultShardSize),
      ...(decoder && { decoder }),
      facts: await factsOf(drawing, decoder, values),
      ...{ threads: values.threads, versions: versions(), signal, onNote: note },
      onStart: (images) => note(startLine(images, count, out)),
      onProgress: progressOf(count, context),
    });
    return { ...set, speed: speedLines(set, drawing) };
  } finally {
    await decoder?.release();
  }
}

async function factsOf(
  { file, process, kept }: Drawing,
  decoder: Decoder | undefined,
  { vae, tiled }: SetValues,
): Promise<Record<string, unknown>> {
  return {
    ...{ modelFile: modelFacts(file), process },
    ...(kept && { kept }),
    ...(decoder && { decoder: { path: vae, sha256: await decoder.sha256(), tiled } }),
  };
}

const startLine = (images: number, count: number, out: string): string =>
  images === 0 ? `generate: ${count} images in ${out}` : `generate: ${images} of ${count} images are in ${out}`;

/** A line of a log for the first batch, for the last, and now and then. */
function progressOf(count: number, context: CommandContext): (progress: SetProgress) => void {
  let isFirst = true;
  return ({ images, drawn, atHand, seconds }) => {
    const isTransient = atHand > 0 || !(isFirst || images === count);
    if (!isTransient) isFirst = false;
    const pace = (drawn + atHand) / seconds;
    const secondsLeft = (count - images - atHand) / pace;
    context.progress({ step: images, steps: count, images, secondsLeft, line: { "images/s": pace }, isTransient });
  };
}

function speedLines({ drawn, seconds, derived }: GeneratedSet, drawing: Drawing): string[] {
  if (drawn === 0) return [];
  const pace = `${drawn} images drawn now at ${(drawn / seconds).toPrecision(3)} images/s`;
  return [`${pace}, ${drawerText(drawing)}`, ...cacheLines(derived)];
}
