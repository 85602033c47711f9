/** The parts of an autoencoder. N batch, C channels, H × W pixels, T = H·W. */
import { add, attention, broadcast, pad, reshape, silu, transpose } from "../../graph/build.ts";
import { dimAt, fixedDim, type Tensor } from "../../graph/tensor.ts";
import { convolution, groupNorm, linear } from "../../nn/layers.ts";
import type { Initializer, Params } from "../../nn/params.ts";

const EPSILON = 1e-6;

/** Uniform in ±1 / √fanIn, as PyTorch's convolutions start. */
const startOf = (fanIn: number): Initializer => ({ kind: "uniform", bound: 1 / Math.sqrt(fanIn) });

/** k × k, as large as its input. */
export function sameSize(p: Params, x: Tensor, channels: number, kernel = 3): Tensor {
  const init = startOf(kernel ** 2 * fixedDim(x, 1));
  return convolution(p, x, channels, { kernel, padding: (kernel - 1) / 2, init });
}

/** Group norm and SiLU. */
export function normalised(p: Params, x: Tensor, groups: number): Tensor {
  return silu(groupNorm(p, x, groups, EPSILON));
}

/** Diffusers' `ResnetBlock2D` without time: two convolutions, and a 1 × 1 one beside where the width changes. */
export function resnet(p: Params, x: Tensor, channels: number, groups: number): Tensor {
  const first = sameSize(p.at("conv1"), normalised(p.at("norm1"), x, groups), channels);
  const delta = sameSize(p.at("conv2"), normalised(p.at("norm2"), first, groups), channels);
  const beside = fixedDim(x, 1) === channels ? x : sameSize(p.at("conv_shortcut"), x, channels, 1);
  return add(beside, delta);
}

/** Diffusers' `Attention` over all pixels, with one head. */
export function pixelAttention(p: Params, x: Tensor, groups: number): Tensor {
  const [n, c, h, w] = [dimAt(x, 0), fixedDim(x, 1), fixedDim(x, 2), fixedDim(x, 3)];
  const normal = reshape(groupNorm(p.at("group_norm"), x, groups, EPSILON), [n, c, h * w]);
  const tokens = transpose(normal, [0, 2, 1]); // [N, T, C]
  const head = (name: string) => reshape(linear(p.at(name), tokens, c, startOf(c)), [n, 1, h * w, c]);
  const mixed = attention(head("to_q"), head("to_k"), head("to_v"), c ** -0.5); // [N, 1, T, C]
  const delta = linear(p.at("to_out", 0), reshape(mixed, [n, h * w, c]), c, startOf(c)); // [N, T, C]
  return add(x, reshape(transpose(delta, [0, 2, 1]), [n, c, h, w]));
}

/** Half the size; the zeros stand right and below only, as in the original. */
export function halved(p: Params, x: Tensor): Tensor {
  const c = fixedDim(x, 1);
  return convolution(p, pad(pad(x, 2, 0, 1), 3, 0, 1), c, { kernel: 3, stride: 2, init: startOf(9 * c) });
}

/** Twice the size, each pixel four times, then a convolution. */
export function doubled(p: Params, x: Tensor): Tensor {
  const [n, c, h, w] = [dimAt(x, 0), fixedDim(x, 1), fixedDim(x, 2), fixedDim(x, 3)];
  const four = broadcast(reshape(x, [n, c, h, 1, w, 1]), [n, c, h, 2, w, 2]);
  return sameSize(p, reshape(four, [n, c, 2 * h, 2 * w]), c);
}
