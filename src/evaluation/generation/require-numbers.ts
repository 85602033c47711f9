/** A check of what a model drew before it becomes bytes. */
import { InputError } from "../../array/input-error.ts";
import type { DrawnBatch } from "./image-drawer.ts";

/** Black pixels in the place of NaN would count as an image. @throws InputError naming the first image with one. */
export function requireNumbers(command: string, { first, images, labels }: DrawnBatch): void {
  const at = images.data.findIndex(Number.isNaN);
  if (at < 0) return;
  const row = Math.floor(at / (images.size / labels.length));
  throw new InputError(
    `${command}: image ${first + row} (class ${labels[row]}) has values that are not numbers; the weights or the sampling ` +
      "settings make the model diverge, try more --steps or less --cfg",
  );
}
