/** The MLP that denoises one token under a condition (Li et al. 2024, section 3.3). M tokens, C numbers each, W width. */
import { add, layerNorm, mul, silu, split } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { embedTimestep } from "../../nn/embeddings.ts";
import { affineLayerNorm, linear, modulate } from "../../nn/layers.ts";
import { type Params, startAtZero } from "../../nn/params.ts";
import { type MarConfig, tokenSize } from "./config.ts";

/** x [M, C] noised tokens, t [M] timesteps, z [M, D] conditions from the decoder. */
export interface TokenInputs {
  readonly x: Tensor;
  readonly t: Tensor;
  readonly z: Tensor;
}

const EPSILON = 1e-6;

/** Predicted noise and variance fractions of tokens: [M, 2C]. */
export function tokenDenoiser(p: Params, config: MarConfig, { x, t, z }: TokenInputs): Tensor {
  const net = p.at("diffloss", "net");
  const width = config.denoiserSize;
  const c = add(embedTimestep(net.at("time_embed"), t, width), linear(net.at("cond_embed"), z, width)); // [M, W]
  let h = linear(net.at("input_proj"), x, width);
  for (let i = 0; i < config.denoiserDepth; i++) h = residualLayer(net.at("res_blocks", i), width, h, c);
  return finalLayer(net.at("final_layer"), config, h, c);
}

/** The `parts` modulations that an adaLN layer reads from the condition. */
function modulations(p: Params, width: number, c: Tensor, parts: number): readonly Tensor[] {
  return split(linear(p.at("adaLN_modulation", 1), silu(c), parts * width, startAtZero), parts, 1);
}

function residualLayer(p: Params, width: number, h: Tensor, c: Tensor): Tensor {
  const [shift, scale, gate] = modulations(p, width, c, 3) as readonly [Tensor, Tensor, Tensor];
  const x = modulate(affineLayerNorm(p.at("in_ln"), h, EPSILON), shift, scale);
  return add(h, mul(gate, linear(p.at("mlp", 2), silu(linear(p.at("mlp", 0), x, width)), width)));
}

function finalLayer(p: Params, config: MarConfig, h: Tensor, c: Tensor): Tensor {
  const [shift, scale] = modulations(p, config.denoiserSize, c, 2) as readonly [Tensor, Tensor];
  return linear(p.at("linear"), modulate(layerNorm(h, EPSILON), shift, scale), 2 * tokenSize(config), startAtZero);
}
