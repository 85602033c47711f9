/** The diffusion transformer with adaLN-Zero blocks (Peebles and Xie 2023). N batch, T tokens, D hidden, p patch. */

import {
  add,
  conv2d,
  gather,
  geluTanh,
  layerNorm,
  mul,
  reshape,
  silu,
  split,
  transpose,
  unsqueeze,
} from "../../graph/build.ts";
import { dimAt, type Tensor } from "../../graph/tensor.ts";
import { embedTimestep, positionEmbedding } from "../../nn/embeddings.ts";
import { linear, mlp, modulate, selfAttention } from "../../nn/layers.ts";
import { type Initializer, type Params, startAtZero } from "../../nn/params.ts";
import { type Block, type RunBlock, requireBlocks, residualBlock, runAll } from "../../nn/run-block.ts";
import { denoiserFamily, hasNullClass, tokenCount } from "../family.ts";
import { checkedJson } from "../schema.ts";
import { attentionHeads, type DiTConfig, ditConfigSchema, mlpChannels, outChannels } from "./config.ts";

/** x [N, C, S, S] noised images or latents, t [N] timesteps, y [N] int32 labels (numClasses = no label). */
export interface DiTInputs {
  readonly x: Tensor;
  readonly t: Tensor;
  readonly y: Tensor;
}

const EPSILON = 1e-6;
const normal: Initializer = { kind: "normal", std: 0.02 };

/** Predicted noise and, with learnSigma, variance fractions: [N, 2C, S, S]. Blocks run through `runBlock` as 0 … depth − 1. */
export function dit(p: Params, config: DiTConfig, { x, t, y }: DiTInputs, runBlock: RunBlock = runAll): Tensor {
  requireBlocks(runBlock, config.depth);
  const c = add(embedTimestep(p.at("t_embedder"), t, config.hiddenSize), embedLabel(p.at("y_embedder"), config, y)); // [N, D]
  let h = add(embedPatches(p.at("x_embedder"), config, x), positions(p, config)); // [N, T, D]
  for (let index = 0; index < config.depth; index++) {
    h = runBlock(ditBlock(p.at("blocks", index), config), h, index, c);
  }
  return unpatchify(finalLayer(p.at("final_layer"), config, h, c), config);
}

/** The name scope of block `index`. */
export const ditBlockScope = (index: number): string => `blocks.${index}`;

/** adaLN of tokens [N, T, D] by one shift and scale [N, D] for each sample. */
const modulateTokens = (x: Tensor, shift: Tensor, scale: Tensor): Tensor =>
  modulate(x, unsqueeze(shift, 1), unsqueeze(scale, 1));

function ditBlock(p: Params, config: DiTConfig): Block {
  const { hiddenSize } = config;
  const adaLN = (c: Tensor) => split(linear(p.at("adaLN_modulation", 1), silu(c), 6 * hiddenSize, startAtZero), 6, 1);
  const branch = (name: string, first: number, layer: (x: Tensor) => Tensor) => ({
    name,
    delta(h: Tensor, ...[c]: Tensor[]) {
      const [shift, scale, gate] = adaLN(c!).slice(first) as [Tensor, Tensor, Tensor];
      return mul(unsqueeze(gate, 1), layer(modulateTokens(layerNorm(h, EPSILON), shift, scale)));
    },
  });
  return residualBlock([
    branch("attention", 0, (x) => selfAttention(p.at("attn"), x, attentionHeads(config))),
    branch("mlp", 3, (x) => mlp(p.at("mlp"), x, mlpChannels(config), geluTanh)),
  ]);
}

/** x [N, C, S, S] → tokens [N, T, D] in row-major order. */
export function embedPatches(
  p: Params,
  { patchSize, hiddenSize, inChannels, ...config }: DiTConfig,
  x: Tensor,
): Tensor {
  const scope = p.at("proj");
  const weight = scope.get("weight", [hiddenSize, inChannels, patchSize, patchSize], { kind: "xavierUniform" });
  const grid = conv2d(x, weight, scope.get("bias", [hiddenSize], startAtZero), patchSize); // [N, D, S/p, S/p]
  const tokens = (config.inputSize / patchSize) ** 2;
  return transpose(reshape(grid, [dimAt(x, 0), hiddenSize, tokens]), [0, 2, 1]); // [N, T, D]
}

/** The fixed position embedding [1, T, D]. */
export function positions(p: Params, config: DiTConfig): Tensor {
  const side = config.inputSize / config.patchSize;
  return p.get("pos_embed", [1, tokenCount(config), config.hiddenSize], {
    kind: "fixed",
    value: () => positionEmbedding(config.hiddenSize, side),
  });
}

/** y [N] → [N, D]; the last row of the table stands for "no label", unless the model has no such class. */
export function embedLabel(p: Params, { numClasses, nullClass, hiddenSize }: DiTConfig, y: Tensor): Tensor {
  const rows = hasNullClass({ nullClass }) ? numClasses + 1 : numClasses;
  return gather(p.at("embedding_table").get("weight", [rows, hiddenSize], normal), y);
}

/** Hidden states [N, T, D] → tokens [N, T, p·p·C]. */
export function finalLayer(p: Params, config: DiTConfig, h: Tensor, c: Tensor): Tensor {
  const modulation = linear(p.at("adaLN_modulation", 1), silu(c), 2 * config.hiddenSize, startAtZero);
  const [shift, scale] = split(modulation, 2, 1) as readonly [Tensor, Tensor];
  const size = config.patchSize ** 2 * outChannels(config);
  return linear(p.at("linear"), modulateTokens(layerNorm(h, EPSILON), shift, scale), size, startAtZero); // [N, T, p·p·C]
}

/** Tokens [N, T, p·p·C] (channel last inside a token) to images [N, C, S, S]. */
export function unpatchify(tokens: Tensor, config: DiTConfig): Tensor {
  const { patchSize: p, inputSize } = config;
  const [n, side, c] = [dimAt(tokens, 0), inputSize / p, outChannels(config)];
  const grid = reshape(tokens, [n, side, side, p, p, c]);
  return reshape(transpose(grid, [0, 5, 1, 3, 2, 4]), [n, c, inputSize, inputSize]);
}

export const ditFamily = denoiserFamily<DiTConfig>({
  name: "dit",
  process: "gaussian",
  parse: (json, where = "model configuration") => checkedJson(ditConfigSchema, json, where),
  predict: dit,
  blockScope: ditBlockScope,
});
