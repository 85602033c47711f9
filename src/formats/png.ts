/** PNG images from and to pixels. */

import { encode } from "fast-png";
import type { NDArray } from "../array/ndarray.ts";

/**
 * A PNG file of gray [H, W] or RGB [H, W, 3] pixels.
 * @throws RangeError for any other shape.
 */
export function encodePng(pixels: NDArray<"uint8">): Uint8Array {
  const [height = 0, width = 0, channels = 1] = pixels.shape;
  const rank = pixels.shape.length;
  if (!(rank === 2 || (rank === 3 && channels === 3)) || height < 1 || width < 1) {
    throw new RangeError(`encode PNG: expected pixels [H, W] or [H, W, 3], got [${pixels.shape}]`);
  }
  return encode({ width, height, data: pixels.data, depth: 8, channels });
}
