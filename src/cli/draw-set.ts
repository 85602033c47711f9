/** Drawing the images of an evaluation into a folder that can be completed: for `generate`, and for `evaluate` of a model. */
import { InputError } from "../array/input-error.ts";
import { Autoencoder } from "../data/autoencoder/autoencoder.ts";
import {
  defaultShardSize,
  type GeneratedSet,
  generateSet,
  type ImageDecoder,
  type SetProgress,
} from "../evaluation/generation/generate-set.ts";
import { labelModes } from "../evaluation/generation/labels.ts";
import { latentStride } from "../models/autoencoder/config.ts";
import type { Engine } from "../onnx/session.ts";
import { openWeights, weightsSha256 } from "../weights/open-weights.ts";
import type { CommandContext } from "./command.ts";
import { loadDecoder } from "./decoder-options.ts";
import { type Drawing, drawerOptions, drawerText, drawingOptions, modelFacts, openDrawing } from "./drawing.ts";
import type { OptionTable, Values } from "./option.ts";
import { isPicture } from "./sample-grid.ts";
import { cacheLines } from "./sampling-options.ts";
import { versions } from "./version.ts";

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
} as const satisfies OptionTable;

type SetValues = Values<typeof setOptions> & { readonly out: string; readonly count: number };

export interface DrawnSet extends GeneratedSet {
  /** How many images this run has drawn, how fast, and by which weights and blocks; nothing if it drew none. */
  readonly speed: readonly string[];
}

/**
 * Draws what is missing in the folder `out`.
 * @throws InputError for a file that is no model, options that do not fit it, or a folder of other settings.
 */
export async function drawSet(
  path: string,
  values: SetValues,
  context: CommandContext,
  engine: Engine,
): Promise<DrawnSet> {
  const drawing = await openDrawing(path, values, context);
  requireDecoder(values, drawing);
  const decoder = values.vae === undefined ? undefined : await openImageDecoder(values, drawing, engine, context);
  const { out, count } = values;
  try {
    const { note, signal } = context;
    const set = await generateSet({
      ...{ engine, out, count, labels: { mode: values.labels, classes: drawing.classes } },
      ...drawing.request,
      shardSize: values.shardSize ?? (drawing.isLarge ? LARGE_SHARD : defaultShardSize),
      ...(decoder && { decoder }),
      facts: factsOf(drawing, decoder),
      ...{ threads: values.threads, versions: versions(), signal, onNote: note },
      onStart: (images) => note(startLine(images, count, out)),
      onProgress: progressOf(count, context),
    });
    return { ...set, speed: speedLines(set, drawing) };
  } finally {
    await decoder?.release();
  }
}

/** @throws InputError for a model whose images nobody could look at. */
function requireDecoder({ vae }: SetValues, { file }: Drawing): void {
  const { inChannels } = file.model.config;
  if (vae !== undefined || isPicture(inChannels)) return;
  throw new InputError(
    `generate: expected --vae, as ${file.path} draws ${inChannels}-channel latents and an evaluation looks at pictures; ` +
      "give the autoencoder it was trained with, such as --vae hf:stabilityai/sd-vae-ft-ema",
  );
}

interface OpenDecoder extends ImageDecoder {
  /** For `generate.json`. */
  readonly facts: Readonly<Record<string, unknown>>;
  release(): Promise<void>;
}

/** The autoencoder of `--vae`, whose sessions stay as long as the command draws. @throws as `loadDecoder`. */
async function openImageDecoder(
  { vae, tiled }: SetValues,
  { file }: Drawing,
  engine: Engine,
  { note }: CommandContext,
): Promise<OpenDecoder> {
  const { inChannels, inputSize } = file.model.config;
  const loaded = await loadDecoder(vae!, inChannels, note);
  const autoencoder = new Autoencoder(engine, loaded);
  return {
    side: inputSize * latentStride(loaded.config),
    facts: { path: vae, sha256: await weightsSha256(await openWeights(vae!)), tiled },
    decode: (latents) => autoencoder.decode(latents, { tiled }),
    release: () => autoencoder.release(),
  };
}

const factsOf = ({ file, process, kept }: Drawing, decoder: OpenDecoder | undefined): Record<string, unknown> => ({
  ...{ modelFile: modelFacts(file), process },
  ...(kept && { kept }),
  ...(decoder && { decoder: decoder.facts }),
});

const startLine = (images: number, count: number, out: string): string =>
  images === 0 ? `generate: ${count} images in ${out}` : `generate: ${images} of ${count} images are in ${out}`;

/** Lines of progress where they cannot be rewritten come this many seconds apart. */
const BETWEEN_LINES = 10;

/** Every evaluation on a terminal; elsewhere a line now and then, and one for the first batch. */
function progressOf(count: number, context: CommandContext): (progress: SetProgress) => void {
  let shown = Number.NEGATIVE_INFINITY;
  return ({ images, drawn, atHand, seconds }) => {
    const isTime = atHand === 0 && (images === count || seconds - shown >= BETWEEN_LINES);
    if (!isTime && !process.stderr.isTTY) return;
    if (isTime) shown = seconds;
    const pace = (drawn + atHand) / seconds;
    const secondsLeft = (count - images - atHand) / pace;
    context.progress({ step: images, steps: count, images, secondsLeft, line: { "images/s": pace } });
  };
}

function speedLines({ drawn, seconds, derived }: GeneratedSet, drawing: Drawing): string[] {
  if (drawn === 0) return [];
  const pace = `${drawn} images drawn now at ${(drawn / seconds).toPrecision(3)} images/s`;
  return [`${pace}, ${drawerText(drawing)}`, ...cacheLines(derived)];
}
