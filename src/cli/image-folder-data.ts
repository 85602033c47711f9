/** A folder of images as training data: cropped once into a cache beside the run. */
import { dirname, join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { cachedImages, decodedImages, type PixelSettings } from "../data/images/image-folder.ts";
import { type ImageListing, listImages } from "../data/images/list-images.ts";
import { isColoured, openPixelCache, type PixelCache } from "../data/images/pixel-cache.ts";
import { prepareImages } from "../data/images/prepare-images.ts";
import type { TrainingSet } from "../data/training-set.ts";
import type { ModelConfig } from "../models/family.ts";
import { type PixelShape, pixelModel, pixelPresets, preset } from "../models/presets.ts";
import type { Model } from "../models/registry.ts";
import { hasImageChannels } from "../tasks/grid-png.ts";
import { classesText } from "../tasks/sampling-settings.ts";
import { required, type SettingTable, type Values } from "../tasks/settings.ts";
import { imageProgress } from "../tasks/task.ts";
import type { CommandContext } from "./command.ts";
import { refuseInside } from "./output-names.ts";

export const imageFolderOptions = {
  size: {
    kind: "integer",
    min: 1,
    max: 8192,
    help: "side of the square that a folder of images is cropped to [the model's input size]",
  },
  flip: { kind: "flag", help: "mirror a folder's images at random, as the original training of DiT" },
} as const satisfies SettingTable;

export type ImageFolderValues = Values<typeof imageFolderOptions> & {
  readonly data: string;
  readonly labels?: string | undefined;
  readonly out?: string | undefined;
  readonly dryRun?: boolean;
};

/** Where crops are kept: beside the run. */
const cacheFolder = (out: string): string => join(dirname(out), "decoded-images");
/** Fewer images than these are learned by heart. */
const FEW = 100;
/** Images that decide whether a model is to be grey. */
const LOOKED_AT = 64;

/**
 * The model that a preset for pixels becomes with these images.
 * @throws InputError for a folder without images, or a size that does not fit.
 */
export async function modelForImages(name: string, { data, labels, size }: ImageFolderValues): Promise<Model> {
  const listing = listImages(data, labels);
  const body = preset(name);
  const shape: PixelShape = {
    size: size ?? body.config.inputSize,
    channels: (await areGrey(listing)) ? 1 : 3,
    numClasses: listing.numClasses,
  };
  return pixelModel(body, shape);
}

/** A flow learns what is large in an image much sooner than a DiT, which predicts noise. */
export const defaultPixelPreset = "SiT-Pixels";

/** Training of a preset for pixels for some minutes on an ordinary computer, where the options say nothing else. */
export const pixelRecipe = {
  steps: 6000,
  batchSize: 8,
  learningRate: 3e-3,
  lrSchedule: "cosine",
  warmupSteps: 50,
} as const;

export const isPixelPreset = (name: string): boolean => pixelPresets.has(name);

/** Whether some images, spread over all of them, have no colour. Those that cannot be read are named later, all at once. */
async function areGrey(listing: ImageListing): Promise<boolean> {
  const count = Math.min(LOOKED_AT, listing.names.length);
  for (let i = 0; i < count; i++) {
    const place = Math.floor((i * listing.names.length) / count);
    const { images } = await prepareImages(listing, { first: place, end: place + 1 }, 32);
    if (images.some(isColoured)) return false;
  }
  return true;
}

/** The images as a model takes them. @throws InputError if it takes none, or images cannot be read; the signal's reason. */
export async function openImageFolder(
  values: ImageFolderValues,
  config: ModelConfig,
  context: CommandContext,
): Promise<TrainingSet> {
  const { data, labels, out, dryRun } = values;
  const settings = settingsFor(values, config);
  for (const written of out === undefined ? [] : [out, cacheFolder(out)]) refuseInside(written, data);
  const listing = listImages(data, labels);
  for (const line of listing.notes) context.note(line);
  if (listing.classNames) context.note(`classes: ${classesText(listing.classNames)}`);
  if (dryRun) return decodedImages(listing, settings);
  const folder = cacheFolder(required("out", out));
  const cache = await openPixelCache({
    ...{ listing, size: settings.size, folder, signal: context.signal, note: context.note },
    onProgress: imageProgress(context),
  });
  for (const line of cacheLines(listing, cache, settings)) context.note(line);
  return cachedImages(listing, cache, settings);
}

/** @throws InputError for a model of latents, or of another size. */
function settingsFor({ data, size, flip }: ImageFolderValues, { inputSize, inChannels }: ModelConfig): PixelSettings {
  if (!hasImageChannels(inChannels)) {
    throw new InputError(
      `--data ${data} is a folder of images, the model takes ${inChannels}-channel latents of ${inputSize} × ${inputSize}: encode ` +
        `the images first (tinyfusion encode --images ${data} --vae … --out latents), or train a model of pixels ` +
        `(tinyfusion train --data ${data})`,
    );
  }
  if (size !== undefined && size !== inputSize) {
    throw new InputError(
      `--size ${size}: the model takes images of ${inputSize} × ${inputSize}; leave --size out, or take a model of that size`,
    );
  }
  return { size: inputSize, channels: inChannels as 1 | 3, flip };
}

function cacheLines(
  { root, names }: ImageListing,
  { path, shards }: PixelCache,
  { size, channels }: PixelSettings,
): string[] {
  const coloured = shards.reduce((sum, shard) => sum + shard.coloured, 0);
  const enlarged = shards.reduce((sum, shard) => sum + shard.enlarged, 0);
  const images = (count: number, one: string, many: string) =>
    count === 1 ? `1 image ${one}` : `${count} images ${many}`;
  const cropped = `cropped to ${size} × ${size}`;
  return [
    images(names.length, `of ${root}, ${cropped}, is in ${path}`, `of ${root}, ${cropped}, are in ${path}`),
    ...(channels === 1 && coloured > 0
      ? [`${images(coloured, "in colour is", "in colour are")} grey to this model, which has one channel`]
      : []),
    ...(enlarged > 0 ? [`${images(enlarged, "is", "are")} smaller than ${size} × ${size}, enlarged to that size`] : []),
    ...(names.length < FEW
      ? [images(names.length, "is few: a model learns it by heart", "are few: a model learns them by heart")]
      : []),
  ];
}
