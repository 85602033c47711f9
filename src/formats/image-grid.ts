/** Many images as one picture, row by row. */

import { NDArray } from "../array/ndarray.ts";
import { byteOf } from "./image-bytes.ts";

/** How a grid looks. */
export interface GridOptions {
  /** Screen pixels per image pixel, in both directions; default 1. */
  readonly scale?: number;
  /** White screen pixels between images; default 2. */
  readonly gap?: number;
}

const white = 255;

/**
 * Sets images in [-1, 1] in rows of `columns`: [N, C, H, W] with C = 1 or 3 → gray [H', W'] or RGB [H', W', 3].
 * Places without an image stay white.
 * @throws RangeError for another shape, no image, or a count that is not a positive integer.
 */
export function imageGrid(images: NDArray<"float32">, columns: number, options: GridOptions = {}): NDArray<"uint8"> {
  const { scale = 1, gap = 2 } = options;
  const [count = 0, channels = 0, height = 0, width = 0] = images.shape;
  if (images.shape.length !== 4 || (channels !== 1 && channels !== 3) || images.size === 0) {
    throw new RangeError(`image grid: expected images [N, 1 or 3, H, W], got [${images.shape}]`);
  }
  if (![columns, scale, gap + 1].every((value) => Number.isInteger(value) && value > 0)) {
    throw new RangeError(
      `image grid: columns ${columns}, scale ${scale} and gap ${gap} must be positive integers (gap may be 0)`,
    );
  }
  const across = Math.min(columns, count);
  const gridHeight = Math.ceil(count / across) * (height * scale + gap) - gap;
  const gridWidth = across * (width * scale + gap) - gap;
  const pixels = new Uint8Array(gridHeight * gridWidth * channels).fill(white);
  for (let n = 0; n < count; n++) {
    const top = Math.floor(n / across) * (height * scale + gap);
    const left = (n % across) * (width * scale + gap);
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < height * scale; y++) {
        const source = ((n * channels + c) * height + Math.floor(y / scale)) * width;
        const target = (top + y) * gridWidth + left;
        for (let x = 0; x < width * scale; x++) {
          pixels[(target + x) * channels + c] = byteOf(images.data[source + Math.floor(x / scale)]!);
        }
      }
    }
  }
  return new NDArray("uint8", channels === 1 ? [gridHeight, gridWidth] : [gridHeight, gridWidth, channels], pixels);
}
