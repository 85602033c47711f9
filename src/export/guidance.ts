/** Inputs of exported graphs that guide: two predictions are traced, since twice as many rows would be a size that no input carries. N rows. */
import { cast, fill, input } from "../graph/build.ts";
import type { Dim } from "../graph/dim.ts";
import type { Tensor } from "../graph/tensor.ts";
import { hasNullClass, type ModelConfig } from "../models/family.ts";

/** The input that says how far to go: 0 is without label, 1 is no guidance. */
export const scaleInput = (): Tensor => input("cfgScale", []);

/** The label that stands for none, for every row: int32 [N]. */
export const noLabels = (numClasses: number, rows: Dim): Tensor => cast(fill(numClasses, [rows]), "int32");

/** What a label is, for people. */
export const labelMeaning = ({ numClasses, nullClass }: Pick<ModelConfig, "numClasses" | "nullClass">): string =>
  `the class, 0 to ${numClasses - 1}${hasNullClass({ nullClass }) ? `; ${numClasses} is none` : ""}`;
