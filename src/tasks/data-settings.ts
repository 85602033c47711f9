/** Which images a task learns from; a folder of images is cropped once, into a cache beside the run. */
import { dirname, join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { loadDigits, loadIdx } from "../data/digits.ts";
import { imageFormat } from "../data/images/decode-image.ts";
import { cachedImages, decodedImages, type PixelSettings } from "../data/images/image-folder.ts";
import { type ImageListing, listImages } from "../data/images/list-images.ts";
import { isColoured, openPixelCache, type PixelCache } from "../data/images/pixel-cache.ts";
import { prepareImages } from "../data/images/prepare-images.ts";
import { isFeatureFolder, openFeatureFolder } from "../data/latents/feature-folder.ts";
import { isLatentFolder } from "../data/latents/latent-index.ts";
import { openLatents } from "../data/latents/open-latents.ts";
import { type TrainingSet, trainingSet } from "../data/training-set.ts";
import type { ModelConfig } from "../models/family.ts";
import { type PixelShape, pixelModel, pixelPresets, preset } from "../models/presets.ts";
import type { Model } from "../models/registry.ts";
import { fileBytes, isFolder } from "../storage/read.ts";
import type { ModelFile } from "../weights/model-file.ts";
import { hasImageChannels } from "./grid-png.ts";
import { refuseInside } from "./output-names.ts";
import { classesText } from "./sampling-settings.ts";
import { refuseIgnored, required, SettingError, type SettingTable, type Values } from "./settings.ts";
import { imageProgress, startTask, type TaskContext, type TaskSettings } from "./task.ts";

const imageFolderSettings = {
  size: {
    kind: "integer",
    min: 1,
    max: 8192,
    help: "pixels that a folder's images are cropped to [the model's]",
  },
  flip: { kind: "flag", help: "random horizontal flips of a folder's images" },
} as const satisfies SettingTable;

export const dataSettings = {
  data: {
    kind: "text",
    fallback: "digits",
    help: "digits, a folder of images or latents, or IDX images",
  },
  labels: {
    kind: "text",
    help: "labels of `data`: an IDX file, or name,label lines [class folders]",
  },
  ...imageFolderSettings,
  verify: { kind: "flag", help: "comparison of all latents with their checksums" },
} as const satisfies SettingTable;

type DataValues = Values<typeof dataSettings> & ImageFolderValues;

/** The kind of data, recognised by what is there. */
export type DataKind = "digits" | "latents" | "feature files" | "images" | "IDX";

export function kindOfData(data: string): DataKind {
  if (data === "digits") return "digits";
  if (!isFolder(data)) return "IDX";
  if (isLatentFolder(data)) return "latents";
  return isFeatureFolder(data) ? "feature files" : "images";
}

/**
 * The training data [N, C, H, W]: images in [−1, 1] or latents as the model sees them. `file` is the model that training
 * starts from, if there is one.
 * @throws InputError if they do not fit the model; the signal's reason.
 */
export async function loadTrainingSet(
  values: DataValues,
  config: ModelConfig,
  context: TaskContext,
  file?: Pick<ModelFile, "path" | "classNames">,
): Promise<TrainingSet> {
  const { data } = values;
  const set = context.trainingSet ?? (await openTrainingSet(values, config, context));
  const { inputSize, inChannels, numClasses } = config;
  const [channels, height, width] = set.shape;
  if (height !== inputSize || width !== inputSize || channels !== inChannels) {
    throw new InputError(
      `${data}: images are ${channels} × ${height} × ${width}, the model takes ${inChannels} × ${inputSize} × ${inputSize}`,
    );
  }
  if (set.numClasses > numClasses) {
    throw new InputError(
      `${data} has ${set.numClasses} classes, the model knows ${numClasses}; train a model of as many classes`,
    );
  }
  if (file) noteOtherNames(set, data, file, context.note);
  return set;
}

/**
 * The examples that `data` names, for a model of this configuration. A folder of images is decoded as it is read.
 * @throws SettingError, InputError for data that do not fit the model.
 */
export async function openData(
  settings: TaskSettings<typeof dataSettings> & { readonly config: ModelConfig },
): Promise<TrainingSet> {
  const { config, ...given } = settings;
  const { values, context } = await startTask(dataSettings, given as TaskSettings<typeof dataSettings>);
  return loadTrainingSet({ ...values, writes: false }, config, context);
}

async function openTrainingSet(values: DataValues, config: ModelConfig, context: TaskContext): Promise<TrainingSet> {
  const { data, labels, verify } = values;
  const { given } = context;
  const kind = kindOfData(data);
  if (kind === "IDX") await refuseSingleImage(data);
  const by = `\`data\` ${data}`;
  if (kind !== "latents") refuseIgnored(given, by, ["verify"], "only latents have checksums");
  if (kind === "images") return openImageFolder(values, config, context);
  refuseIgnored(given, by, Object.keys(imageFolderSettings), "only folders of images are cropped and mirrored here");
  if (kind === "latents" || kind === "feature files") {
    refuseIgnored(given, by, ["labels"], "a folder of latents has its own labels");
    return kind === "latents" ? openLatents(data, { verify }) : openFeatureFolder(data, config.numClasses);
  }
  if (kind === "IDX" && labels === undefined) throw new SettingError("`data` FILE needs `labels` FILE");
  const { numClasses } = config;
  const set = kind === "digits" ? loadDigits().train : loadIdx(data, labels!);
  const wrong = set.labels.data.find((label) => label < 0 || label >= numClasses);
  if (wrong !== undefined)
    throw new InputError(`${data}: label ${wrong} is outside the model's classes 0 to ${numClasses - 1}`);
  return trainingSet(set, numClasses);
}

/** Bytes that tell an image. */
const HEAD = 64;

/** @throws InputError for a file that is one image. */
async function refuseSingleImage(path: string): Promise<void> {
  const file = await fileBytes(path);
  const format = imageFormat(await file.read(0, Math.min(HEAD, file.size)));
  if (format === undefined) return;
  throw new InputError(
    `\`data\` ${path}: expected a folder of images (class folders, or all of one class), a folder of latents, or an IDX file ` +
      `with \`labels\`, found a single ${format} image; name its folder`,
  );
}

/** Says where a label means one class to the model and another in the data. */
function noteOtherNames(
  { classNames = [] }: TrainingSet,
  data: string,
  { path, classNames: known = [] }: Pick<ModelFile, "path" | "classNames">,
  note: (line: string) => void,
): void {
  const other = known.flatMap((name, label) =>
    classNames[label] === undefined || classNames[label] === name
      ? []
      : [`${label} is "${name}" there and "${classNames[label]}" here`],
  );
  if (other.length === 0) return;
  const more = other.length > 3 ? `, and ${other.length - 3} more` : "";
  note(`classes of ${path} and of ${data} disagree: ${other.slice(0, 3).join(", ")}${more}`);
}

export type ImageFolderValues = Values<typeof imageFolderSettings> & {
  readonly data: string;
  readonly labels?: string | undefined;
  readonly out?: string | undefined;
  /** False for a plan: crops stay in memory. */
  readonly writes?: boolean;
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
  context: TaskContext,
): Promise<TrainingSet> {
  const { data, labels, out, writes = true } = values;
  const settings = settingsFor(values, config);
  for (const written of out === undefined ? [] : [out, cacheFolder(out)]) refuseInside(written, data);
  const listing = listImages(data, labels);
  for (const line of listing.notes) context.note(line);
  if (listing.classNames) context.note(`classes: ${classesText(listing.classNames)}`);
  if (!writes) return decodedImages(listing, settings);
  const folder = cacheFolder(required("out", out));
  const cache = await openPixelCache({
    listing,
    size: settings.size,
    folder,
    signal: context.signal,
    note: context.note,
    onProgress: imageProgress(context),
  });
  for (const line of cacheLines(listing, cache, settings)) context.note(line);
  return cachedImages(listing, cache, settings);
}

/** @throws InputError for a model of latents, or of another size. */
function settingsFor({ data, size, flip }: ImageFolderValues, { inputSize, inChannels }: ModelConfig): PixelSettings {
  if (!hasImageChannels(inChannels)) {
    throw new InputError(
      `\`data\` ${data} is a folder of images, the model takes ${inChannels}-channel latents of ${inputSize} × ${inputSize}: encode ` +
        `the images first (tinyfusion encode --images ${data} --vae … --out latents), or train a model of pixels ` +
        `(tinyfusion train --data ${data})`,
    );
  }
  if (size !== undefined && size !== inputSize) {
    throw new InputError(
      `\`size\` ${size}: the model takes images of ${inputSize} × ${inputSize}; leave \`size\` out, or take a model of that size`,
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
