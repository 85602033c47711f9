/**
 * The masked autoregressive encoder and decoder (Li et al. 2024). N batch, B buffer tokens, L image tokens, V visible
 * tokens with the buffer's, C numbers in a token, E and D the encoder's and decoder's width.
 */

import { int32 } from "../../array/ndarray.ts";
import {
  add,
  broadcast,
  cast,
  concat,
  constant,
  equal,
  gather,
  gelu,
  input,
  matmul,
  mul,
  slice,
  sub,
  sum,
  unsqueeze,
} from "../../graph/build.ts";
import { dimAt, fixedDim, type Tensor } from "../../graph/tensor.ts";
import { affineLayerNorm, linear, mlp, selfAttention } from "../../nn/layers.ts";
import type { Initializer, Params } from "../../nn/params.ts";
import { type Block, type RunBlock, requireBlocks, residualBlock, runAll } from "../../nn/run-block.ts";
import { type Family, requireKept, tokenCount } from "../family.ts";
import { checkedJson } from "../schema.ts";
import { type MarConfig, marConfigSchema, tokenSize } from "./config.ts";
import { tokenDenoiser } from "./token-denoiser.ts";

export interface MarInputs {
  /** [N, L, C]; what stands at masked places is not read. */
  readonly tokens: Tensor;
  /** Places in [buffer; tokens], int32 [N, V]: 0 … B − 1 and B + l for each token l that is not masked. */
  readonly visible: Tensor;
  /** Labels, int32 [N]; numClasses = no label. */
  readonly y: Tensor;
  /** Two words for each row, int32 [N, 2]: dropout is on. */
  readonly dropoutKey?: Tensor;
}

const EPSILON = 1e-6;
const normal: Initializer = { kind: "normal", std: 0.02 };

/** The condition of each token [N, L, D]. Blocks run through `runBlock` as 0 … depth − 1, the encoder's first. */
export function mar(p: Params, config: MarConfig, inputs: MarInputs, runBlock: RunBlock = runAll): Tensor {
  return decode(p, config, encode(p, config, inputs, runBlock), inputs, runBlock);
}

/** The name scope of each block, in forward order. */
export function marBlockScopes({ encoderDepth, decoderDepth }: MarConfig): string[] {
  return [
    ...Array.from({ length: encoderDepth }, (_, i) => `encoder_blocks.${i}`),
    ...Array.from({ length: decoderDepth }, (_, i) => `decoder_blocks.${i}`),
  ];
}

/** The hidden states of the visible tokens [N, V, E]. */
export function encode(
  p: Params,
  config: MarConfig,
  { tokens, visible, y, dropoutKey }: MarInputs,
  runBlock: RunBlock = runAll,
): Tensor {
  const { encoderSize, encoderDepth, encoderHeads, bufferSize } = config;
  requireBlocks(runBlock, encoderDepth + config.decoderDepth);
  const label = unsqueeze(embedLabel(p, config, y), 1); // [N, 1, E]
  const buffer = broadcast(label, [dimAt(y, 0), bufferSize, encoderSize]);
  const all = concat([buffer, linear(p.at("z_proj"), tokens, encoderSize)], 1); // [N, B + L, E]
  const placed = add(
    all,
    p.get("encoder_pos_embed_learned", [1, bufferSize + tokenCount(config), encoderSize], normal),
  );
  let h = matmul(places(visible, config), affineLayerNorm(p.at("z_proj_ln"), placed, EPSILON)); // [N, V, E]
  for (let i = 0; i < encoderDepth; i++) {
    h = runBlock(marBlock(p.at("encoder_blocks", i), config, encoderHeads), h, i, ...keyOf(dropoutKey));
  }
  return affineLayerNorm(p.at("encoder_norm"), h, EPSILON);
}

/** The condition of each token [N, L, D] from the encoder's output [N, V, E]. */
export function decode(
  p: Params,
  config: MarConfig,
  encoded: Tensor,
  { visible, dropoutKey }: Pick<MarInputs, "visible" | "dropoutKey">,
  runBlock: RunBlock = runAll,
): Tensor {
  const { encoderDepth, decoderDepth, decoderHeads, decoderSize, bufferSize } = config;
  const length = bufferSize + tokenCount(config);
  const place = places(visible, config);
  const seen = matmul(place, linear(p.at("decoder_embed"), encoded, decoderSize), { transposeA: true }); // [N, B + L, D]
  const isMasked = unsqueeze(sub(1, sum(place, [1])), 2); // [N, B + L, 1]
  const all = add(seen, mul(isMasked, p.get("mask_token", [1, 1, decoderSize], normal)));
  let h = add(all, p.get("decoder_pos_embed_learned", [1, length, decoderSize], normal));
  for (let i = 0; i < decoderDepth; i++) {
    const block = marBlock(p.at("decoder_blocks", i), config, decoderHeads);
    h = runBlock(block, h, encoderDepth + i, ...keyOf(dropoutKey));
  }
  const z = slice(affineLayerNorm(p.at("decoder_norm"), h, EPSILON), 1, bufferSize, length);
  return add(z, p.get("diffusion_pos_embed_learned", [1, tokenCount(config), decoderSize], normal));
}

const keyOf = (dropoutKey: Tensor | undefined): Tensor[] => (dropoutKey ? [dropoutKey] : []);

/** y [N] → [N, E]; what stands for "no label" is a weight of its own. */
function embedLabel(p: Params, { numClasses, encoderSize }: MarConfig, y: Tensor): Tensor {
  const classes = p.at("class_emb").get("weight", [numClasses, encoderSize], normal);
  return gather(concat([classes, p.get("fake_latent", [1, encoderSize], normal)], 0), y);
}

/**
 * Rows with a single 1, at the place of a visible token: [N, V, B + L]. A product with it picks the visible tokens, one
 * with its transpose puts them back; each is the other's gradient, and V may change from run to run.
 */
function places(visible: Tensor, config: MarConfig): Tensor {
  const length = config.bufferSize + tokenCount(config);
  const numbers = constant(int32(Int32Array.from({ length }, (_, place) => place)));
  return cast(equal(unsqueeze(visible, 2), numbers), "float32");
}

/** A pre-norm transformer block as in timm; its row condition is the dropout key, if there is dropout. */
function marBlock(p: Params, { mlpRatio, attentionDropout, projectionDropout }: MarConfig, numHeads: number): Block {
  return residualBlock([
    {
      name: "attention",
      delta(h, ...[key]) {
        const x = affineLayerNorm(p.at("norm1"), h, EPSILON);
        const drop = { key, attention: attentionDropout, projection: projectionDropout };
        return selfAttention(p.at("attn"), x, numHeads, drop);
      },
    },
    {
      name: "mlp",
      delta(h, ...[key]) {
        const x = affineLayerNorm(p.at("norm2"), h, EPSILON);
        const hiddenSize = Math.floor(fixedDim(x, -1) * mlpRatio);
        return mlp(p.at("mlp"), x, hiddenSize, gelu, { key, rate: projectionDropout });
      },
    },
  ]);
}

export const marFamily: Family<MarConfig> = {
  name: "mar",
  process: "tokens",
  parse: (json, where = "model configuration") => checkedJson(marConfigSchema, json, where),
  trace(p, config) {
    const tokens = input("tokens", [2, tokenCount(config), tokenSize(config)]);
    const visible = input("visible", [2, config.bufferSize], "int32");
    mar(p, config, { tokens, visible, y: input("y", [2], "int32") });
    const x = input("x", [2, tokenSize(config)]);
    tokenDenoiser(p, config, { x, t: input("t", [2]), z: input("z", [2, config.decoderSize]) });
  },
  blockScopes: marBlockScopes,
  headScopes: ({ denoiserDepth }) => Array.from({ length: denoiserDepth }, (_, i) => `diffloss.net.res_blocks.${i}`),
  stacks: ({ encoderDepth, decoderDepth }) => [encoderDepth, decoderDepth],
  keep(config, kept) {
    requireKept(kept, config.depth);
    const encoderDepth = kept.filter((block) => block < config.encoderDepth).length;
    return { ...config, encoderDepth, decoderDepth: kept.length - encoderDepth, depth: kept.length };
  },
};
