/**
 * Encoder and decoder of the autoencoder of latent diffusion (Rombach et al. 2022), with diffusers' names. N batch, C
 * channels, H × W pixels, Z latent channels, f pixels along the side of a latent's element.
 */
import { add, attention, broadcast, input, pad, reshape, silu, transpose } from "../../graph/build.ts";
import { dimAt, fixedDim, type Tensor } from "../../graph/tensor.ts";
import { convolution, groupNorm, linear } from "../../nn/layers.ts";
import { type Initializer, Params, type WeightSpec } from "../../nn/params.ts";

import { type AutoencoderConfig, latentStride } from "./config.ts";

/** Mean and log variance of the posterior, one behind the other: x [N, C, H, W] in [−1, 1] → [N, 2·Z, H/f, W/f]. */
export function encoder(p: Params, config: AutoencoderConfig, x: Tensor): Tensor {
  const { blockOutChannels, layersPerBlock, latentChannels, normNumGroups: groups } = config;
  const scope = p.at("encoder");
  let h = conv3x3(scope.at("conv_in"), x, blockOutChannels[0]!);
  for (const [level, channels] of blockOutChannels.entries()) {
    const block = scope.at("down_blocks", level);
    h = layers(block, h, { channels, groups, count: layersPerBlock, attends: config.encoderAttention.includes(level) });
    if (level < blockOutChannels.length - 1) h = downsample(block.at("downsamplers", 0, "conv"), h);
  }
  h = normAct(scope.at("conv_norm_out"), midBlock(scope.at("mid_block"), h, config), groups);
  const moments = conv3x3(scope.at("conv_out"), h, 2 * latentChannels);
  return config.quantConvolution ? conv1x1(p.at("quant_conv"), moments, 2 * latentChannels) : moments;
}

/** The image of latents as the encoder gives them, not scaled: z [N, Z, H/f, W/f] → [N, C, H, W], about [−1, 1]. */
export function decoder(p: Params, config: AutoencoderConfig, z: Tensor): Tensor {
  const { blockOutChannels, layersPerBlock, latentChannels, normNumGroups: groups } = config;
  const scope = p.at("decoder");
  const given = config.postQuantConvolution ? conv1x1(p.at("post_quant_conv"), z, latentChannels) : z;
  let h = midBlock(scope.at("mid_block"), conv3x3(scope.at("conv_in"), given, blockOutChannels.at(-1)!), config);
  for (const [i, channels] of blockOutChannels.toReversed().entries()) {
    const level = blockOutChannels.length - 1 - i;
    const block = scope.at("up_blocks", i);
    const attends = config.decoderAttention.includes(level);
    h = layers(block, h, { channels, groups, count: layersPerBlock + 1, attends });
    if (level > 0) h = upsample(block.at("upsamplers", 0, "conv"), h);
  }
  return conv3x3(scope.at("conv_out"), normAct(scope.at("conv_norm_out"), h, groups), config.outChannels);
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

function midBlock(p: Params, x: Tensor, { normNumGroups: groups, middleAttention }: AutoencoderConfig): Tensor {
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

const EPSILON = 1e-6;

/** Uniform in ±1 / √fanIn, as PyTorch's convolutions start. */
const startOf = (fanIn: number): Initializer => ({ kind: "uniform", bound: 1 / Math.sqrt(fanIn) });

function conv3x3(p: Params, x: Tensor, channels: number): Tensor {
  return convolution(p, x, channels, { kernel: 3, padding: 1, init: startOf(9 * fixedDim(x, 1)) });
}

function conv1x1(p: Params, x: Tensor, channels: number): Tensor {
  return convolution(p, x, channels, { kernel: 1, init: startOf(fixedDim(x, 1)) });
}

/** Group norm and SiLU. */
function normAct(p: Params, x: Tensor, groups: number): Tensor {
  return silu(groupNorm(p, x, groups, EPSILON));
}

/** Diffusers' `ResnetBlock2D` without time: two convolutions, and a 1 × 1 one beside where the width changes. */
function resnet(p: Params, x: Tensor, channels: number, groups: number): Tensor {
  const first = conv3x3(p.at("conv1"), normAct(p.at("norm1"), x, groups), channels);
  const delta = conv3x3(p.at("conv2"), normAct(p.at("norm2"), first, groups), channels);
  const beside = fixedDim(x, 1) === channels ? x : conv1x1(p.at("conv_shortcut"), x, channels);
  return add(beside, delta);
}

/** Diffusers' `Attention` over all pixels, with one head. */
function pixelAttention(p: Params, x: Tensor, groups: number): Tensor {
  const [n, c, h, w] = [dimAt(x, 0), fixedDim(x, 1), fixedDim(x, 2), fixedDim(x, 3)];
  const normal = reshape(groupNorm(p.at("group_norm"), x, groups, EPSILON), [n, c, h * w]);
  const tokens = transpose(normal, [0, 2, 1]); // [N, T, C]
  const head = (name: string) => reshape(linear(p.at(name), tokens, c, startOf(c)), [n, 1, h * w, c]);
  const mixed = attention(head("to_q"), head("to_k"), head("to_v"), c ** -0.5); // [N, 1, T, C]
  const delta = linear(p.at("to_out", 0), reshape(mixed, [n, h * w, c]), c, startOf(c)); // [N, T, C]
  return add(x, reshape(transpose(delta, [0, 2, 1]), [n, c, h, w]));
}

/** Half the size; the zeros stand right and below only, as in the original. */
function downsample(p: Params, x: Tensor): Tensor {
  const c = fixedDim(x, 1);
  return convolution(p, pad(pad(x, 2, 0, 1), 3, 0, 1), c, { kernel: 3, stride: 2, init: startOf(9 * c) });
}

/** Twice the size, each pixel four times, then a convolution. */
function upsample(p: Params, x: Tensor): Tensor {
  const [n, c, h, w] = [dimAt(x, 0), fixedDim(x, 1), fixedDim(x, 2), fixedDim(x, 3)];
  const four = broadcast(reshape(x, [n, c, h, 1, w, 1]), [n, c, h, 2, w, 2]);
  return conv3x3(p, reshape(four, [n, c, 2 * h, 2 * w]), c);
}
