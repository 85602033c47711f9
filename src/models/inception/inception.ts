/**
 * Inception-v3 (Szegedy et al. 2015) as TensorFlow published it on 2015-12-05: the network of FID, sFID and the Inception
 * Score. N batch. Names are those of torchvision, which pytorch-fid's file has. It is not torchvision's network: means
 * leave out what is beyond the edge, and Mixed_7c pools by the maximum, in all likelihood by mistake; FID is so defined.
 */
import {
  averagePool2d,
  concat,
  conv2d,
  linear,
  maxPool2d,
  mean,
  relu,
  reshape,
  slice,
  transpose,
} from "../../graph/build.ts";
import { dimAt, fixedDim, type Tensor } from "../../graph/tensor.ts";
import { type Params, startAtZero } from "../../nn/params.ts";

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

/** How a kernel goes over an image; pairs are rows and columns. */
interface Geometry {
  readonly kernel: readonly [number, number];
  readonly stride?: number;
  readonly padding?: readonly [number, number];
}

const square = (k: number): Geometry => ({ kernel: [k, k], padding: [(k - 1) / 2, (k - 1) / 2] });
const flat = (k: number): Geometry => ({ kernel: [1, k], padding: [0, (k - 1) / 2] });
const upright = (k: number): Geometry => ({ kernel: [k, 1], padding: [(k - 1) / 2, 0] });
const [one, three, five] = [square(1), square(3), square(5)];
const inside: Geometry = { kernel: [3, 3] };
const halving: Geometry = { kernel: [3, 3], stride: 2 };
const [flat7, upright7] = [flat(7), upright(7)];

/** A convolution, into which the normalisation that follows it is folded (`fold.ts`), and ReLU. */
function unit(p: Params, x: Tensor, channels: number, { kernel, stride = 1, padding = [0, 0] }: Geometry): Tensor {
  const fanIn = fixedDim(x, 1) * kernel[0] * kernel[1];
  const he = { kind: "uniform", bound: Math.sqrt(6 / fanIn) } as const; // He et al. 2015, eq. 10
  const weight = p.get("weight", [channels, fixedDim(x, 1), ...kernel], he);
  return relu(conv2d(x, weight, p.get("bias", [channels], startAtZero), stride, padding));
}

type Step = readonly [channels: number, geometry: Geometry];

/** Units one behind the other: `name_1`, `name_2`, … */
function chain(p: Params, name: string, x: Tensor, ...steps: readonly Step[]): Tensor {
  return steps.reduce((h, [channels, geometry], i) => unit(p.at(`${name}_${i + 1}`), h, channels, geometry), x);
}

const byOne = (p: Params, x: Tensor, channels: number): Tensor => unit(p.at("branch1x1"), x, channels, one);

/** What stands beyond the edge does not count in the mean. */
const averaged = (p: Params, x: Tensor, channels: number): Tensor =>
  unit(p.at("branch_pool"), averagePool2d(x, 3, 1, 1), channels, one);

const largest = (p: Params, x: Tensor, channels: number): Tensor =>
  unit(p.at("branch_pool"), maxPool2d(x, 3, 1, 1), channels, one);

/** [N, 3, 299, 299] → [N, 192, 35, 35] */
function stem(p: Params, x: Tensor): Tensor {
  let h = unit(p.at("Conv2d_1a_3x3"), x, 32, halving); // [N, 32, 149, 149]
  h = unit(p.at("Conv2d_2a_3x3"), h, 32, inside); // [N, 32, 147, 147]
  h = maxPool2d(unit(p.at("Conv2d_2b_3x3"), h, 64, three), 3, 2); // [N, 64, 73, 73]
  h = unit(p.at("Conv2d_3b_1x1"), h, 80, one);
  return maxPool2d(unit(p.at("Conv2d_4a_3x3"), h, 192, inside), 3, 2);
}

/** [N, C, 35, 35] → [N, 224 + poolChannels, 35, 35] */
function blockA(p: Params, x: Tensor, poolChannels: number): Tensor {
  return concat(
    [
      byOne(p, x, 64),
      chain(p, "branch5x5", x, [48, one], [64, five]),
      chain(p, "branch3x3dbl", x, [64, one], [96, three], [96, three]),
      averaged(p, x, poolChannels),
    ],
    1,
  );
}

/** [N, C, 35, 35] → [N, 480 + C, 17, 17] */
function blockB(p: Params, x: Tensor): Tensor {
  return concat(
    [
      unit(p.at("branch3x3"), x, 384, halving),
      chain(p, "branch3x3dbl", x, [64, one], [96, three], [96, halving]),
      maxPool2d(x, 3, 2),
    ],
    1,
  );
}

/** [N, C, 17, 17] → [N, 768, 17, 17]; `c` channels between the long kernels. */
function blockC(p: Params, x: Tensor, c: number): Tensor {
  return concat(
    [
      byOne(p, x, 192),
      chain(p, "branch7x7", x, [c, one], [c, flat7], [192, upright7]),
      chain(p, "branch7x7dbl", x, [c, one], [c, upright7], [c, flat7], [c, upright7], [192, flat7]),
      averaged(p, x, 192),
    ],
    1,
  );
}

/** [N, C, 17, 17] → [N, 512 + C, 8, 8] */
function blockD(p: Params, x: Tensor): Tensor {
  return concat(
    [
      chain(p, "branch3x3", x, [192, one], [320, halving]),
      chain(p, "branch7x7x3", x, [192, one], [192, flat7], [192, upright7], [192, halving]),
      maxPool2d(x, 3, 2),
    ],
    1,
  );
}

/** [N, C, 8, 8] → [N, 2048, 8, 8] */
function blockE(p: Params, x: Tensor, pooling: "average" | "max"): Tensor {
  const short = chain(p, "branch3x3", x, [384, one]);
  const long = chain(p, "branch3x3dbl", x, [448, one], [384, three]);
  return concat(
    [
      byOne(p, x, 320),
      ...forked(p, "branch3x3_2", short),
      ...forked(p, "branch3x3dbl_3", long),
      pooling === "average" ? averaged(p, x, 192) : largest(p, x, 192),
    ],
    1,
  );
}

/** A flat and an upright kernel on the same image. */
const forked = (p: Params, name: string, x: Tensor): readonly Tensor[] => [
  unit(p.at(`${name}a`), x, 384, flat(3)),
  unit(p.at(`${name}b`), x, 384, upright(3)),
];
