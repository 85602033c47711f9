/** Which images a command learns from. */
import { loadDigits, loadIdx, pixelsToUnit } from "../data/digits.ts";
import type { TrainingSet } from "../training/examples.ts";
import { type OptionTable, UsageError, type Values } from "./option.ts";

export const dataOptions = {
  data: { kind: "text", fallback: "digits", help: "training images: digits (built in), or an IDX file of images" },
  labels: { kind: "text", help: "IDX file of labels for --data" },
} as const satisfies OptionTable;

/** The training images in [−1, 1], [N, 1, H, W]. */
export function loadTrainingSet({ data, labels }: Values<typeof dataOptions>): TrainingSet {
  if (data !== "digits" && labels === undefined) throw new UsageError("--data FILE needs --labels FILE");
  const set = data === "digits" ? loadDigits().train : loadIdx(data, labels!);
  const [n, h, w] = set.images.shape as readonly [number, number, number];
  return {
    images: pixelsToUnit(set.images).reshape([n, 1, h, w]),
    labels: set.labels,
    numClasses: set.labels.data.reduce((most, label) => Math.max(most, label + 1), 1),
  };
}
