/** The crop of ADM (guided-diffusion, `center_crop_arr`) that DiT, SiT and MAR were trained on: a square from the middle. */

import type { NDArray } from "../../array/ndarray.ts";
import { roundHalfEven } from "../../array/reduce.ts";
import { resample } from "./resample.ts";

/**
 * The middle `size` × `size` pixels of an image [H, W, C] whose shorter side is brought to `size`: by halves with the
 * box filter as long as it is at least twice as long, then with the bicubic filter.
 */
export function centerCrop(image: NDArray<"uint8">, size: number): NDArray<"uint8"> {
  let halved = image;
  let [h, w] = sides(halved);
  while (Math.min(h, w) >= 2 * size) {
    halved = resample(halved, Math.floor(w / 2), Math.floor(h / 2), "box");
    [h, w] = sides(halved);
  }
  const scale = size / Math.min(h, w);
  const [height, width] = [roundHalfEven(h * scale), roundHalfEven(w * scale)];
  return resample(halved, width, height, "bicubic", {
    ...{ left: Math.floor((width - size) / 2), top: Math.floor((height - size) / 2) },
    ...{ width: size, height: size },
  });
}

const sides = ({ shape }: NDArray): [number, number] => [shape[0]!, shape[1]!];
