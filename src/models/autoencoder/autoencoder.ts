/**
 * Encoder and decoder of the autoencoder of latent diffusion (Rombach et al. 2022), with diffusers' names. N batch, C
 * channels, H × W pixels, Z latent channels, f pixels along the side of a latent's element.
 */

import { input } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { fixedDim } from "../../graph/tensor.ts";
import { Params, type WeightSpec } from "../../nn/params.ts";
import { doubled, halved, normalised, pixelAttention, resnet, sameSize } from "./blocks.ts";
import { type AutoencoderConfig, latentStride } from "./config.ts";

/** Mean and log variance of the posterior, one behind the other: x [N, C, H, W] in [−1, 1] → [N, 2·Z, H/f, W/f]. */
export function encoder(p: Params, config: AutoencoderConfig, x: Tensor): Tensor {
  const { blockOutChannels, layersPerBlock, latentChannels, normNumGroups: groups } = config;
  const scope = p.at("encoder");
  let h = sameSize(scope.at("conv_in"), x, blockOutChannels[0]!);
  for (const [level, channels] of blockOutChannels.entries()) {
    const block = scope.at("down_blocks", level);
    h = layers(block, h, { channels, groups, count: layersPerBlock, attends: config.encoderAttention.includes(level) });
    if (level < blockOutChannels.length - 1) h = halved(block.at("downsamplers", 0, "conv"), h);
  }
  h = normalised(scope.at("conv_norm_out"), middle(scope.at("mid_block"), h, config), groups);
  const moments = sameSize(scope.at("conv_out"), h, 2 * latentChannels);
  return config.quantConvolution ? sameSize(p.at("quant_conv"), moments, 2 * latentChannels, 1) : moments;
}

/** The image of latents as the encoder gives them, not scaled: z [N, Z, H/f, W/f] → [N, C, H, W], about [−1, 1]. */
export function decoder(p: Params, config: AutoencoderConfig, z: Tensor): Tensor {
  const { blockOutChannels, layersPerBlock, latentChannels, normNumGroups: groups } = config;
  const scope = p.at("decoder");
  const given = config.postQuantConvolution ? sameSize(p.at("post_quant_conv"), z, latentChannels, 1) : z;
  let h = middle(scope.at("mid_block"), sameSize(scope.at("conv_in"), given, blockOutChannels.at(-1)!), config);
  for (const [i, channels] of blockOutChannels.toReversed().entries()) {
    const level = blockOutChannels.length - 1 - i;
    const block = scope.at("up_blocks", i);
    const attends = config.decoderAttention.includes(level);
    h = layers(block, h, { channels, groups, count: layersPerBlock + 1, attends });
    if (level > 0) h = doubled(block.at("upsamplers", 0, "conv"), h);
  }
  return sameSize(scope.at("conv_out"), normalised(scope.at("conv_norm_out"), h, groups), config.outChannels);
}

interface Layers {
  readonly channels: number;
  readonly groups: number;
  readonly count: number;
  /** Attention behind each ResNet. */
  readonly attends: boolean;
}

function layers(p: Params, x: Tensor, { channels, groups, count, attends }: Layers): Tensor {
  let h = x;
  for (let i = 0; i < count; i++) {
    h = resnet(p.at("resnets", i), h, channels, groups);
    if (attends) h = pixelAttention(p.at("attentions", i), h, groups);
  }
  return h;
}

function middle(p: Params, x: Tensor, { normNumGroups: groups, middleAttention }: AutoencoderConfig): Tensor {
  const channels = fixedDim(x, 1);
  const first = resnet(p.at("resnets", 0), x, channels, groups);
  const mixed = middleAttention ? pixelAttention(p.at("attentions", 0), first, groups) : first;
  return resnet(p.at("resnets", 1), mixed, channels, groups);
}

/** The names, shapes and starting values of all weights, the encoder's first. */
export function autoencoderSpecs(config: AutoencoderConfig): WeightSpec[] {
  const p = new Params();
  const side = latentStride(config);
  encoder(p, config, input("x", [1, config.inChannels, side, side]));
  decoder(p, config, input("z", [1, config.latentChannels, 1, 1]));
  return p.specs();
}
