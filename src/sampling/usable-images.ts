/** The check of everything that a model samples, before it becomes bytes, a score or a file. N images, C channels, S side. */
import { InputError } from "../array/input-error.ts";
import type { NDArray } from "../array/ndarray.ts";

/** A model whose output is no image: the weights or the settings make it diverge. */
export class DivergedError extends InputError {}

/**
 * Pixels are about −1 to 1 and latents within ±100. A model that was never trained stays below this, too, even where the
 * first step divides by √ᾱ = 5e-5; what is larger, and all that is not finite, is no image.
 */
export const LARGEST_VALUE = 1e6;

/** Images `first` … of a set, one label for each; rows beyond the labels are padding. */
export interface LabelledImages {
  readonly first: number;
  readonly images: NDArray; // [≥ N, …]
  readonly labels: Int32Array; // [N]
}

/** Where the first value is that cannot belong to an image; -1 if there is none. */
export function unusableIndex(values: ArrayLike<number>): number {
  for (let i = 0; i < values.length; i++) {
    if (!(Math.abs(values[i]!) <= LARGEST_VALUE)) return i;
  }
  return -1;
}

/** Saturated pixels in the place of NaN or 1e30 would count as an image. @throws DivergedError naming the first such image. */
export function requireUsable({ first, images, labels }: LabelledImages, command = "sampling"): void {
  const rowSize = images.size / images.shape[0]!;
  const values = images.data as ArrayLike<number> & { subarray(from: number, to: number): ArrayLike<number> };
  const at = unusableIndex(values.subarray(0, labels.length * rowSize));
  if (at < 0) return;
  const row = Math.floor(at / rowSize);
  throw new DivergedError(
    `${command}: image ${first + row} (class ${labels[row]}) has the value ${valueText(values[at]!)}, expected finite ` +
      "numbers of about −1 to 1; the weights or the sampling settings make the model diverge, try more `steps` or less " +
      '`cfg`, or check the weights with "tinyfusion inspect --check"',
  );
}

/** A number in a message: 8.08e+30, NaN, −Infinity. */
export const valueText = (value: number): string => (Number.isFinite(value) ? value.toExponential(2) : String(value));

/** Names who diverged, where several models sample. */
export async function sampledBy<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof DivergedError ? new DivergedError(`${name}: ${error.message}`) : error;
  }
}
