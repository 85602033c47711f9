/** Bytes of pictures as the numbers that networks take: channels first, in [−1, 1]. */
import { NDArray } from "../../array/ndarray.ts";

/** What torchvision's `ToTensor` and `Normalize(0.5, 0.5)` make of a byte, each step rounded to float32. */
const unit = Float32Array.from({ length: 256 }, (_, byte) => Math.fround(Math.fround(byte / 255) - 0.5) / 0.5);

/** Pictures [H, W, C] of one size as images [N, C, H, W]; `mirrored` swaps left and right. */
export function unitImages(pictures: readonly NDArray<"uint8">[], mirrored = false): NDArray<"float32"> {
  const [h, w, channels] = pictures[0]!.shape as readonly [number, number, number];
  const values = new Float32Array(pictures.length * channels * h * w);
  let at = 0;
  for (const { data } of pictures) {
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < h; y++) {
        for (let x = 0; x < w; x++) values[at++] = unit[data[(y * w + (mirrored ? w - 1 - x : x)) * channels + c]!]!;
      }
    }
  }
  return new NDArray("float32", [pictures.length, channels, h, w], values);
}
