/** Layers over named weights. N batch, T tokens, D hidden, H heads. */
import { add, attention, layerNorm, linear, mul, reshape, split, transpose } from "../graph/build.ts";
import { dimAt, fixedDim, type Tensor } from "../graph/tensor.ts";
import { type Initializer, type Params, startAtZero } from "./params.ts";

const xavier: Initializer = { kind: "xavierUniform" };

/** PyTorch's `nn.Linear`: `weight` [outSize, inSize] and `bias`. */
export function dense(p: Params, x: Tensor, outSize: number, init: Initializer = xavier): Tensor {
  const weight = p.get("weight", [outSize, fixedDim(x, -1)], init);
  return linear(x, weight, p.get("bias", [outSize], startAtZero));
}

/** Multi-head self-attention with one `qkv` weight and an output projection `proj`, as in timm: x [N, T, D]. */
export function selfAttention(p: Params, x: Tensor, numHeads: number): Tensor {
  const [n, t, d] = [dimAt(x, 0), dimAt(x, 1), fixedDim(x, 2)];
  const headSize = d / numHeads;
  const heads = (y: Tensor) => transpose(reshape(y, [n, t, numHeads, headSize]), [0, 2, 1, 3]); // [N, H, T, D/H]
  const [q, k, v] = split(dense(p.at("qkv"), x, 3 * d), 3, -1).map(heads) as [Tensor, Tensor, Tensor];
  const mixed = transpose(attention(q, k, v, headSize ** -0.5), [0, 2, 1, 3]); // [N, T, H, D/H]
  return dense(p.at("proj"), reshape(mixed, [n, t, d]), d);
}

/** Two linear layers `fc1`, `fc2` with an activation between. */
export function mlp(p: Params, x: Tensor, hiddenSize: number, activation: (x: Tensor) => Tensor): Tensor {
  return dense(p.at("fc2"), activation(dense(p.at("fc1"), x, hiddenSize)), fixedDim(x, -1));
}

/** PyTorch's `nn.GroupNorm`: x [N, C, H, W] normalised over each group of channels, then `weight` and `bias` per channel. */
export function groupNorm(p: Params, x: Tensor, groups: number, epsilon: number): Tensor {
  const [n, c, h, w] = [dimAt(x, 0), fixedDim(x, 1), fixedDim(x, 2), fixedDim(x, 3)];
  const normal = reshape(layerNorm(reshape(x, [n, groups, (c / groups) * h * w]), epsilon), [n, c, h, w]);
  const perChannel = (name: string, init: Initializer) => reshape(p.get(name, [c], init), [c, 1, 1]);
  return add(mul(normal, perChannel("weight", { kind: "ones" })), perChannel("bias", startAtZero));
}
