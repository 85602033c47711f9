/** Which images a command learns from. */
import { InputError } from "../array/input-error.ts";
import { loadDigits, loadIdx } from "../data/digits.ts";
import { isFeatureFolder, openFeatureFolder } from "../data/latents/feature-folder.ts";
import { openLatents } from "../data/latents/open-latents.ts";
import { type TrainingSet, trainingSet } from "../data/training-set.ts";
import type { ModelConfig } from "../models/family.ts";
import { isFolder } from "../storage/read.ts";
import { type OptionTable, refuseIgnored, UsageError, type Values } from "./option.ts";

export const dataOptions = {
  data: {
    kind: "text",
    fallback: "digits",
    help: "training data: digits (built in), a folder of latents (see tinyfusion encode), or an IDX file of images",
  },
  labels: { kind: "text", help: "IDX file of labels for --data" },
  verify: { kind: "flag", help: "compare all latents with their checksums first" },
} as const satisfies OptionTable;

/**
 * The training data [N, C, H, W]: images in [−1, 1] or latents as the model sees them.
 * @throws InputError if they do not fit the model.
 */
export async function loadTrainingSet(
  values: Values<typeof dataOptions>,
  config: ModelConfig,
  given: ReadonlySet<string>,
): Promise<TrainingSet> {
  const { data } = values;
  const set = await openTrainingSet(values, config, given);
  const { inputSize, inChannels, numClasses } = config;
  const [channels, height, width] = set.shape;
  if (height !== inputSize || width !== inputSize || channels !== inChannels) {
    throw new InputError(
      `${data}: images are ${channels} × ${height} × ${width}, the model takes ${inChannels} × ${inputSize} × ${inputSize}`,
    );
  }
  if (set.numClasses > numClasses) {
    throw new InputError(`${data} has ${set.numClasses} classes, the model knows ${numClasses}`);
  }
  return { ...set, numClasses }; // a dropped label is the model's own class for none
}

async function openTrainingSet(
  { data, labels, verify }: Values<typeof dataOptions>,
  { numClasses }: ModelConfig,
  given: ReadonlySet<string>,
): Promise<TrainingSet> {
  if (data !== "digits" && isFolder(data)) {
    refuseIgnored(given, `--data ${data}`, ["labels"], "a folder of latents has its own labels");
    if (isFeatureFolder(data)) return openFeatureFolder(data, numClasses);
    return openLatents(data, { verify });
  }
  refuseIgnored(given, `--data ${data}`, ["verify"], "only latents have checksums");
  if (data !== "digits" && labels === undefined) throw new UsageError("--data FILE needs --labels FILE");
  const set = data === "digits" ? loadDigits().train : loadIdx(data, labels!);
  const wrong = set.labels.data.find((label) => label < 0 || label >= numClasses);
  if (wrong !== undefined)
    throw new InputError(`${data}: label ${wrong} is outside the model's classes 0 to ${numClasses - 1}`);
  return trainingSet(set, numClasses);
}
