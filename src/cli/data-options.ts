/** Which images a command learns from. */

import { InputError } from "../array/input-error.ts";
import { loadDigits, loadIdx } from "../data/digits.ts";
import { type TrainingSet, trainingSet } from "../data/training-set.ts";
import type { ModelConfig } from "../models/family.ts";
import { type OptionTable, UsageError, type Values } from "./option.ts";

export const dataOptions = {
  data: { kind: "text", fallback: "digits", help: "training images: digits (built in), or an IDX file of images" },
  labels: { kind: "text", help: "IDX file of labels for --data" },
} as const satisfies OptionTable;

/**
 * The training images in [−1, 1], [N, 1, H, W].
 * @throws InputError if they do not fit the model.
 */
export function loadTrainingSet({ data, labels }: Values<typeof dataOptions>, config: ModelConfig): TrainingSet {
  if (data !== "digits" && labels === undefined) throw new UsageError("--data FILE needs --labels FILE");
  const set = data === "digits" ? loadDigits().train : loadIdx(data, labels!);
  const [, h, w] = set.images.shape;
  const { inputSize, inChannels, numClasses } = config;
  if (h !== inputSize || w !== inputSize || inChannels !== 1) {
    throw new InputError(
      `${data}: images are 1 × ${h} × ${w}, the model takes ${inChannels} × ${inputSize} × ${inputSize}`,
    );
  }
  const wrong = set.labels.data.find((label) => label < 0 || label >= numClasses);
  if (wrong !== undefined)
    throw new InputError(`${data}: label ${wrong} is outside the model's classes 0 to ${numClasses - 1}`);
  return trainingSet(set, numClasses);
}
