/** The tensors of a file of latents, a shard or a piece of one: posteriors in rows, and a label for each. */

import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { float32ToFloat16 } from "../../formats/float16.ts";
import type { EncodedImages } from "./encoder.ts";
import type { LatentPrecision } from "./latent-index.ts";

/** Posteriors of images in rows [N, C, h, w]; the flipped ones only where images were encoded mirrored too. */
export const posteriorNames = (flipped: boolean): readonly (readonly [mean: string, std: string])[] =>
  flipped
    ? [
        ["mean", "std"],
        ["flippedMean", "flippedStd"],
      ]
    : [["mean", "std"]];

/** Images that were encoded together. */
export interface EncodedRows {
  /** As they are and, if wanted, mirrored. */
  readonly posteriors: readonly EncodedImages[];
  readonly labels: Int32Array;
  /** Places in the listing. */
  readonly index: Int32Array;
  /** Names of the images, for messages. */
  readonly names: readonly string[];
}

/**
 * Encoded images as tensors of a file.
 * @throws InputError naming the first image with a value that is not finite, or that float16 cannot hold.
 */
export function latentTensors(rows: EncodedRows, dtype: LatentPrecision): Map<string, NDArray> {
  const { posteriors, labels, index, names } = rows;
  const tensors = new Map<string, NDArray>([
    ["labels", new NDArray("int32", [labels.length], labels)],
    ["index", new NDArray("int32", [index.length], index)],
  ]);
  for (const [i, [mean, std]] of posteriorNames(posteriors.length > 1).entries()) {
    tensors.set(mean, stored(posteriors[i]!.mean, dtype, names));
    tensors.set(std, stored(posteriors[i]!.std, dtype, names));
  }
  return tensors;
}

const largestHalf = 65_504;

function stored(values: NDArray<"float32">, dtype: LatentPrecision, names: readonly string[]): NDArray {
  const largest = dtype === "float16" ? largestHalf : Number.MAX_VALUE;
  const wrong = values.data.findIndex((value) => !(Math.abs(value) <= largest));
  if (wrong >= 0) {
    const [value, name] = [values.data[wrong]!, names[Math.floor((wrong / values.size) * names.length)]];
    throw new InputError(
      Number.isFinite(value)
        ? `${name}: a latent of ${value} is too large for float16; use --dtype float32`
        : `${name}: the autoencoder gives a latent that is ${value}; are its weights damaged?`,
    );
  }
  return dtype === "float16" ? new NDArray("float16", values.shape, float32ToFloat16(values.data)) : values;
}
