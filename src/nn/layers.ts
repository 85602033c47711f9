/** Layers over named weights. N batch, T tokens, D hidden, H heads of size S. */
import {
  add,
  linear as affine,
  attention,
  conv2d,
  div,
  layerNorm,
  matmul,
  mean,
  mul,
  reshape,
  softmax,
  split,
  sqrt,
  sub,
  transpose,
} from "../graph/build.ts";
import { dimAt, fixedDim, type Tensor } from "../graph/tensor.ts";
import { dropout } from "./dropout.ts";
import { type Initializer, type Params, startAtZero } from "./params.ts";

const xavier: Initializer = { kind: "xavierUniform" };

/** PyTorch's `nn.Linear`: `weight` [outSize, inSize] and `bias`. */
export function linear(p: Params, x: Tensor, outSize: number, init: Initializer = xavier): Tensor {
  const weight = p.get("weight", [outSize, fixedDim(x, -1)], init);
  return affine(x, weight, p.get("bias", [outSize], startAtZero));
}

/** The rates of timm's `attn_drop` and `proj_drop`, and the key of each row; without keys nothing is dropped. */
export interface AttentionDropout {
  readonly key: Tensor | undefined;
  readonly attention: number;
  readonly projection: number;
}

const keepsAll: AttentionDropout = { key: undefined, attention: 0, projection: 0 };

/** How many heads there are, and how wide each is: together they need not be as wide as the hidden state. */
export interface Heads {
  readonly count: number;
  readonly size: number;
}

/**
 * Multi-head self-attention with one `qkv` weight and an output projection `proj`, as in timm: x [N, T, D]. A number of
 * heads shares the width D of x.
 */
export function selfAttention(p: Params, x: Tensor, heads: number | Heads, drop: AttentionDropout = keepsAll): Tensor {
  const [n, t, d] = [dimAt(x, 0), dimAt(x, 1), fixedDim(x, 2)];
  const { count, size } = typeof heads === "number" ? { count: heads, size: d / heads } : heads;
  const byHead = (y: Tensor) => transpose(reshape(y, [n, t, count, size]), [0, 2, 1, 3]); // [N, H, T, S]
  const [q, k, v] = split(linear(p.at("qkv"), x, 3 * count * size), 3, -1).map(byHead) as [Tensor, Tensor, Tensor];
  const mixed = transpose(mixValues(p, [q, k, v], size ** -0.5, drop), [0, 2, 1, 3]); // [N, T, H, S]
  const y = linear(p.at("proj"), reshape(mixed, [n, t, count * size]), d);
  return dropout(p.at("proj_drop"), y, drop.projection, drop.key);
}

/** Attention, with dropout of its probabilities [N, H, T, T] if there is any. */
function mixValues(
  p: Params,
  [q, k, v]: readonly [Tensor, Tensor, Tensor],
  scale: number,
  drop: AttentionDropout,
): Tensor {
  if (drop.key === undefined || drop.attention === 0) return attention(q, k, v, scale);
  const probabilities = softmax(matmul(q, k, { transposeB: true, scale }));
  return matmul(dropout(p.at("attn_drop"), probabilities, drop.attention, drop.key), v);
}

/** The rate of timm's `drop1` and `drop2`, and the key of each row; without keys nothing is dropped. */
export interface MlpDropout {
  readonly key: Tensor | undefined;
  readonly rate: number;
}

/** Two linear layers `fc1`, `fc2` with an activation between, and dropout behind the activation and at the end. */
export function mlp(
  p: Params,
  x: Tensor,
  hiddenSize: number,
  activation: (x: Tensor) => Tensor,
  { key, rate }: MlpDropout = { key: undefined, rate: 0 },
): Tensor {
  const hidden = dropout(p.at("drop1"), activation(linear(p.at("fc1"), x, hiddenSize)), rate, key);
  return dropout(p.at("drop2"), linear(p.at("fc2"), hidden, fixedDim(x, -1)), rate, key);
}

/** PyTorch's `nn.LayerNorm`: the last axis normalised, then `weight` and `bias`. */
export function affineLayerNorm(p: Params, x: Tensor, epsilon: number): Tensor {
  const size = fixedDim(x, -1);
  return add(mul(layerNorm(x, epsilon), p.get("weight", [size], { kind: "ones" })), p.get("bias", [size], startAtZero));
}

/** adaLN: x (1 + scale) + shift. */
export function modulate(x: Tensor, shift: Tensor, scale: Tensor): Tensor {
  return add(mul(x, add(scale, 1)), shift);
}

/** How a square kernel goes over an image. */
export interface Convolution {
  readonly kernel: number;
  readonly stride?: number;
  readonly padding?: number;
  readonly init: Initializer;
}

/**
 * PyTorch's `nn.GroupNorm`: x [N, C, H, W] normalised over each group of channels, then `weight` and `bias` per channel.
 * A group of a large image has a million numbers, too many for one float32 sum: means are taken over rows first.
 */
export function groupNorm(p: Params, x: Tensor, groups: number, epsilon: number): Tensor {
  const [n, c, h, w] = [dimAt(x, 0), fixedDim(x, 1), fixedDim(x, 2), fixedDim(x, 3)];
  const rows = reshape(x, [n, groups, (c / groups) * h, w]);
  const groupMean = (y: Tensor) => mean(mean(y, [3], true), [2], true); // [N, G, 1, 1]
  const centred = sub(rows, groupMean(rows));
  const std = sqrt(add(groupMean(mul(centred, centred)), epsilon));
  const weight = reshape(p.get("weight", [c], { kind: "ones" }), [groups, c / groups]);
  const scale = reshape(div(weight, reshape(std, [n, groups, 1])), [n, c, 1, 1]);
  return add(mul(reshape(centred, [n, c, h, w]), scale), reshape(p.get("bias", [c], startAtZero), [c, 1, 1]));
}

/** PyTorch's `nn.Conv2d` with a square kernel: `weight` [outChannels, C, k, k] and `bias`, on x [N, C, H, W]. */
export function convolution(
  p: Params,
  x: Tensor,
  outChannels: number,
  { kernel, stride = 1, padding = 0, init }: Convolution,
): Tensor {
  const weight = p.get("weight", [outChannels, fixedDim(x, 1), kernel, kernel], init);
  return conv2d(x, weight, p.get("bias", [outChannels], startAtZero), stride, padding);
}
