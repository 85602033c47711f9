/** Generated images as one PNG. */
import type { NDArray } from "../array/ndarray.ts";
import { encodePng, imageGrid } from "../formats/image-bytes.ts";

/** Whether images have this many channels; other numbers are of latents. */
export const hasImageChannels = (channels: number): boolean => channels === 1 || channels === 3;

/** A grid of images [N, 1 or 3, S, S] as PNG; their labels are `classes` classes in turn. */
export function gridPng(images: NDArray<"float32">, classes: number): Uint8Array {
  return encodePng(imageGrid(images, columnsFor(images.shape[0]!, classes), { scale: images.shape[2]! < 128 ? 2 : 1 }));
}

/** About square; a multiple of the number of classes where that fits, so that each column is one class. */
function columnsFor(count: number, classes: number): number {
  const side = Math.ceil(Math.sqrt(count));
  return classes > 1.5 * side ? side : classes * Math.max(1, Math.round(side / classes));
}
