/**
 * Inception-v3 (Szegedy et al. 2015) as TensorFlow published it on 2015-12-05: the network of FID, sFID and the Inception
 * Score. N batch. Names are those of torchvision, which pytorch-fid's file has. It is not torchvision's network: means
 * leave out what is beyond the edge, and Mixed_7c pools by the maximum, in all likelihood by mistake; FID is so defined.
 */
import { linear, mean, reshape, slice, transpose } from "../../graph/build.ts";
import { dimAt, fixedDim, type Tensor } from "../../graph/tensor.ts";
import type { Params } from "../../nn/params.ts";
import { blockA, blockB, blockC, blockD, blockE, stem } from "./blocks.ts";

/** What the network sees in N images. */
export interface InceptionFeatures {
  /** The last block's mean over all places: [N, 2048]. */
  readonly pooled: Tensor;
  /** The first 7 channels of Mixed_6d at 17 × 17 places, channels last: [N, 2023]. */
  readonly spatial: Tensor;
  /** Of 1008 classes, the first and the last 7 of which mean nothing; without the bias: [N, 1008]. */
  readonly logits: Tensor;
}

/** Length of the side of the images that it looks at. */
export const inceptionSize = 299;

const classes = 1008;
const spatialChannels = 7;

/** Features of x [N, 3, 299, 299] in [−1, 1). Its weights are those of a file with the normalisations folded in. */
export function inception(p: Params, x: Tensor): InceptionFeatures {
  let h = stem(p, x); // [N, 192, 35, 35]
  h = blockA(p.at("Mixed_5b"), h, 32);
  h = blockA(p.at("Mixed_5c"), h, 64);
  h = blockA(p.at("Mixed_5d"), h, 64);
  h = blockB(p.at("Mixed_6a"), h); // [N, 768, 17, 17]
  h = blockC(p.at("Mixed_6b"), h, 128);
  h = blockC(p.at("Mixed_6c"), h, 160);
  h = blockC(p.at("Mixed_6d"), h, 160);
  const spatial = spatialFeatures(h);
  h = blockC(p.at("Mixed_6e"), h, 192);
  h = blockD(p.at("Mixed_7a"), h); // [N, 1280, 8, 8]
  h = blockE(p.at("Mixed_7b"), h, "average");
  h = blockE(p.at("Mixed_7c"), h, "max"); // [N, 2048, 8, 8]
  const pooled = mean(h, [2, 3]);
  const size = fixedDim(pooled, 1);
  const weight = p.at("fc").get("weight", [classes, size], { kind: "normal", std: size ** -0.5 });
  return { pooled, spatial, logits: linear(pooled, weight) };
}

/**
 * TensorFlow's `mixed_6/conv:0`, of which ADM's evaluator takes `[..., :7]` (guided-diffusion, `evaluator.py`). A scope's
 * own name is that of its last operation there, after `Conv2D` and `batchnorm`: the ReLU of Mixed_6d.branch1x1. That
 * branch stands first in the block.
 */
function spatialFeatures(block: Tensor): Tensor {
  const first = slice(block, 1, 0, spatialChannels); // [N, 7, 17, 17]
  const places = fixedDim(block, 2) * fixedDim(block, 3);
  return reshape(transpose(first, [0, 2, 3, 1]), [dimAt(block, 0), places * spatialChannels]);
}
