/** Images as tokens and back. N batch, C channels, S side, p patch, L tokens; inside a token the channel comes first. */

import { float32, type NDArray } from "../../array/ndarray.ts";
import { reshape, transpose } from "../../graph/build.ts";
import { dimAt, type Tensor } from "../../graph/tensor.ts";
import { tokenCount } from "../family.ts";
import { type MarConfig, tokenSize } from "./config.ts";

/** Images [N, C, S, S] to tokens [N, L, C·p·p] in row-major order. */
export function patchify(images: Tensor, config: MarConfig): Tensor {
  const { inChannels: c, patchSize: p } = config;
  const [n, side] = [dimAt(images, 0), config.inputSize / p];
  const grid = transpose(reshape(images, [n, c, side, p, side, p]), [0, 2, 4, 1, 3, 5]); // [N, S/p, S/p, C, p, p]
  return reshape(grid, [n, tokenCount(config), tokenSize(config)]);
}

/** Values of tokens [N, L, C·p·p] as images [N, C, S, S]. */
export function unpatchify(tokens: NDArray<"float32">, config: MarConfig): NDArray<"float32"> {
  const { inChannels, inputSize, patchSize: p } = config;
  const images = new Float32Array(tokens.size);
  let from = 0;
  for (let n = 0; n < tokens.shape[0]!; n++) {
    for (let token = 0; token < tokenCount(config); token++) {
      const [top, left] = [Math.floor((token * p) / inputSize) * p, (token * p) % inputSize];
      for (let c = 0; c < inChannels; c++) {
        for (let y = top; y < top + p; y++) {
          const row = ((n * inChannels + c) * inputSize + y) * inputSize + left;
          images.set(tokens.data.subarray(from, from + p), row);
          from += p;
        }
      }
    }
  }
  return float32(images, [tokens.shape[0]!, inChannels, inputSize, inputSize]);
}
