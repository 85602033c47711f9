/** Classifier-free guidance inside a graph of any batch size (Ho and Salimans 2022, eq. 6). N rows. */
import { add, cast, concat, fill, input, mul, slice, sub } from "../graph/build.ts";
import type { Dim } from "../graph/dim.ts";
import { fixedDim, type Tensor } from "../graph/tensor.ts";
import type { ModelConfig } from "../models/family.ts";
import { hasNullClass } from "../models/null-class.ts";

/** The input that says how far to go: 0 is without label, 1 is no guidance. */
export const scaleInput = (): Tensor => input("cfgScale", []);

/** The label that stands for none, for every row: int32 [N]. */
export const noLabels = (numClasses: number, rows: Dim): Tensor => cast(fill(numClasses, [rows]), "int32");

/** What a label is, for people. */
export const labelMeaning = ({ numClasses, nullClass }: Pick<ModelConfig, "numClasses" | "nullClass">): string =>
  `the class, 0 to ${numClasses - 1}${hasNullClass({ nullClass }) ? `; ${numClasses} is none` : ""}`;

/**
 * uncond + scale · (cond − uncond) in the first `channels` of axis 1; the rest is the labelled prediction's. The two are
 * traced one after the other: twice as many rows would be a size that no input carries.
 */
export function guidedPrediction(labelled: Tensor, unlabelled: Tensor, scale: Tensor, channels: number): Tensor {
  const [cond, uncond] = [slice(labelled, 1, 0, channels), slice(unlabelled, 1, 0, channels)];
  const mixed = add(uncond, mul(sub(cond, uncond), scale));
  const all = fixedDim(labelled, 1);
  return channels === all ? mixed : concat([mixed, slice(labelled, 1, channels, all)], 1);
}
