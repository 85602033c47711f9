/** The losses of masks on a context's calibration set, for as long as a pruner needs them. */
import { InputError } from "../../array/input-error.ts";
import { CalibrationLoss } from "../calibration-loss.ts";
import type { CalibratedContext, MaskLoss } from "./pruner.ts";

/** The mean loss of a model that keeps these blocks. */
export type LossOf = (kept: readonly number[]) => Promise<number>;

/** Compiles the loss, hands it over, and frees it. */
export async function withLosses<T>(
  {
    engine,
    model,
    data,
    calibration,
    hooks,
    weights,
  }: Pick<CalibratedContext, "engine" | "model" | "data" | "calibration" | "hooks" | "weights">,
  use: (lossOf: LossOf) => Promise<T>,
): Promise<T> {
  const losses = await CalibrationLoss.compile(engine, model, data, { ...calibration, ...hooks }, weights);
  try {
    return await use((kept) => losses.lossOf(kept));
  } finally {
    await losses.release();
  }
}

/** For comparisons: a loss that is not a number is the worst there is. */
export const comparable = (loss: number): number => (Number.isNaN(loss) ? Number.POSITIVE_INFINITY : loss);

/** @throws InputError if even the mask that was picked has no finite loss. */
export function requireFinite(mask: MaskLoss): MaskLoss {
  if (Number.isFinite(mask.loss)) return mask;
  throw new InputError(
    `keeping blocks ${mask.kept.join(",")}: the loss is ${mask.loss}, expected a finite number; look for weights that are none with tinyfusion inspect`,
  );
}
