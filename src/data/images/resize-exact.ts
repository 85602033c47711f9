/**
 * Resampling with Pillow's filters in floating point, as Pillow does images of mode F: sums in float64, rounded to float32
 * after each of two passes, first along rows. Values are not clipped: a bicubic filter goes beyond 0 and 255.
 */
import { type NDArray, zeros } from "../../array/ndarray.ts";
import { type FilterName, filterTaps } from "./filter-taps.ts";

/** An image [H, W, C] as planes [C, height, width], in the unit of the image. */
export function resizeExact(
  image: NDArray<"uint8">,
  width: number,
  height: number,
  filter: FilterName,
): NDArray<"float32"> {
  const [h, w, channels] = image.shape as readonly [number, number, number];
  const stretched = new Float32Array(channels * h * width); // [C, H, width]
  // A side that keeps its length is copied: Pillow has no pass for it, and the filter would not change it.
  for (const [x, { start, weights }] of filterTaps(w, width, filter).entries()) {
    for (let y = 0; y < h; y++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        const first = (y * w + start) * channels + c;
        for (let k = 0; k < weights.length; k++) sum += image.data[first + k * channels]! * weights[k]!;
        stretched[(c * h + y) * width + x] = sum;
      }
    }
  }
  const result = zeros("float32", [channels, height, width]);
  const sums = new Float64Array(width);
  for (const [y, { start, weights }] of filterTaps(h, height, filter).entries()) {
    for (let c = 0; c < channels; c++) {
      sums.fill(0);
      for (let k = 0; k < weights.length; k++) {
        const row = stretched.subarray((c * h + start + k) * width, (c * h + start + k + 1) * width);
        for (let x = 0; x < width; x++) sums[x]! += row[x]! * weights[k]!;
      }
      result.data.set(sums, (c * height + y) * width);
    }
  }
  return result;
}
