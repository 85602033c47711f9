/** Which images a command learns from. */
import { InputError } from "../array/input-error.ts";
import { loadDigits, loadIdx } from "../data/digits.ts";
import { imageFormat } from "../data/images/decode-image.ts";
import { isFeatureFolder, openFeatureFolder } from "../data/latents/feature-folder.ts";
import { isLatentFolder } from "../data/latents/latent-index.ts";
import { openLatents } from "../data/latents/open-latents.ts";
import { type TrainingSet, trainingSet } from "../data/training-set.ts";
import type { ModelConfig } from "../models/family.ts";
import { fileBytes, isFolder } from "../storage/read.ts";
import { refuseIgnored, SettingError, type SettingTable, type Values } from "../tasks/settings.ts";
import type { ModelFile } from "../weights/model-file.ts";
import type { CommandContext } from "./command.ts";
import { type ImageFolderValues, imageFolderOptions, openImageFolder } from "./image-folder-data.ts";

export const dataOptions = {
  data: {
    kind: "text",
    fallback: "digits",
    help: "training data: digits (built in), a folder of images, a folder of latents (see tinyfusion encode), or an IDX file of images",
  },
  labels: {
    kind: "text",
    help: "IDX file of labels for --data; of a folder of images, lines name,label [class folders]",
  },
  ...imageFolderOptions,
  verify: { kind: "flag", help: "compare all latents with their checksums first" },
} as const satisfies SettingTable;

type DataValues = Values<typeof dataOptions> & ImageFolderValues;

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
  context: CommandContext,
  file?: Pick<ModelFile, "path" | "classNames">,
): Promise<TrainingSet> {
  const { data } = values;
  const set = await openTrainingSet(values, config, context);
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

async function openTrainingSet(values: DataValues, config: ModelConfig, context: CommandContext): Promise<TrainingSet> {
  const { data, labels, verify } = values;
  const { given } = context;
  const kind = kindOfData(data);
  if (kind === "IDX") await refuseSingleImage(data);
  const by = `--data ${data}`;
  if (kind !== "latents") refuseIgnored(given, by, ["verify"], "only latents have checksums");
  if (kind === "images") return openImageFolder(values, config, context);
  refuseIgnored(given, by, Object.keys(imageFolderOptions), "only folders of images are cropped and mirrored here");
  if (kind === "latents" || kind === "feature files") {
    refuseIgnored(given, by, ["labels"], "a folder of latents has its own labels");
    return kind === "latents" ? openLatents(data, { verify }) : openFeatureFolder(data, config.numClasses);
  }
  if (kind === "IDX" && labels === undefined) throw new SettingError("--data FILE needs --labels FILE");
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
    `--data ${path}: expected a folder of images (class folders, or all of one class), a folder of latents, or an IDX file ` +
      `with --labels, found a single ${format} image; name its folder`,
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
