/** The shape of an autoencoder between images and latents, from diffusers' `vae/config.json` or by a known name. */
import { z } from "zod";
import { InputError } from "../../array/input-error.ts";
import { checkedJson, positive } from "../schema.ts";

const LARGEST_DEPTH = 16;
const level = z
  .int()
  .nonnegative()
  .max(LARGEST_DEPTH - 1);

/** What files of ours must hold; unknown keys are refused. */
export const autoencoderConfigSchema = z
  .strictObject({
    inChannels: positive,
    outChannels: positive,
    latentChannels: positive,
    blockOutChannels: z.array(positive).min(1).max(LARGEST_DEPTH).readonly(),
    layersPerBlock: z.int().positive().max(64),
    normNumGroups: positive,
    encoderAttention: z.array(level).readonly().default([]),
    decoderAttention: z.array(level).readonly().default([]),
    middleAttention: z.boolean().default(true),
    quantConvolution: z.boolean().default(true),
    postQuantConvolution: z.boolean().default(true),
    scalingFactor: z.number().positive(),
    shiftFactor: z.number().default(0),
    sampleSize: positive,
  })
  .readonly()
  .refine(
    (c) => c.blockOutChannels.every((channels) => channels % c.normNumGroups === 0),
    "every number of blockOutChannels must be a multiple of normNumGroups",
  )
  .refine(
    (c) => [...c.encoderAttention, ...c.decoderAttention].every((at) => at < c.blockOutChannels.length),
    "attention must be at one of the levels of blockOutChannels",
  );

/**
 * An autoencoder with a normal posterior (Rombach et al. 2022, section 3.1). Level l of `blockOutChannels` works at
 * 1 / 2^l of the image's size; `encoderAttention` and `decoderAttention` are the levels with attention behind each
 * ResNet, `middleAttention` that of the middle. A model of latents sees (z − shiftFactor) · scalingFactor.
 * `sampleSize` is the side of the images it was trained on, and of the tiles that large ones are cut into.
 */
export type AutoencoderConfig = z.infer<typeof autoencoderConfigSchema>;

/** Pixels along the side of a latent's element. */
export const latentStride = ({ blockOutChannels }: AutoencoderConfig): number => 2 ** (blockOutChannels.length - 1);

const stableDiffusion = autoencoderConfigSchema.parse({
  inChannels: 3,
  outChannels: 3,
  latentChannels: 4,
  blockOutChannels: [128, 256, 512, 512],
  layersPerBlock: 2,
  normNumGroups: 32,
  scalingFactor: 0.18215,
  sampleSize: 256,
});

/**
 * The autoencoder of MAR's latents: the 16-fold one of latent diffusion. Its encoder attends at the lowest level, its
 * decoder only in the middle (`models/vae.py` of MAR); `engine_mar.py` gives the factor.
 */
const kl16 = autoencoderConfigSchema.parse({
  inChannels: 3,
  outChannels: 3,
  latentChannels: 16,
  blockOutChannels: [128, 128, 256, 256, 512],
  layersPerBlock: 2,
  normNumGroups: 32,
  encoderAttention: [4],
  scalingFactor: 0.2325,
  sampleSize: 256,
});

/** Autoencoders by name: `sd-vae-ft` (ft-ema and ft-mse have one shape, and so has Stable Diffusion 1's own) and `kl16`. */
export const autoencoderPresets: ReadonlyMap<string, AutoencoderConfig> = new Map([
  ["sd-vae-ft", stableDiffusion],
  ["kl16", kl16],
]);

/** The autoencoder of a name. @throws InputError listing the names there are. */
export function autoencoderPreset(name: string): AutoencoderConfig {
  const config = autoencoderPresets.get(name);
  if (config) return config;
  throw new InputError(`unknown autoencoder ${name}; expected one of ${[...autoencoderPresets.keys()].join(", ")}`);
}

const downBlocks = z.enum(["DownEncoderBlock2D", "AttnDownEncoderBlock2D"], {
  error: ({ input }) => `expects DownEncoderBlock2D or AttnDownEncoderBlock2D, found ${JSON.stringify(input)}`,
});
const upBlocks = z.enum(["UpDecoderBlock2D", "AttnUpDecoderBlock2D"], {
  error: ({ input }) => `expects UpDecoderBlock2D or AttnUpDecoderBlock2D, found ${JSON.stringify(input)}`,
});
const none = z.null("is not known to this autoencoder: expected none, that is null or no such key").optional();

/** Keys of `vae/config.json` with diffusers' defaults. What would change a number must be known; the rest is skipped. */
const diffusersSchema = z.strictObject({
  _class_name: z.literal("AutoencoderKL", "expects AutoencoderKL").optional(),
  _diffusers_version: z.unknown().optional(),
  _name_or_path: z.unknown().optional(),
  force_upcast: z.unknown().optional(), // about half precision, which is not computed in
  in_channels: positive.default(3),
  out_channels: positive.default(3),
  latent_channels: positive.default(4),
  down_block_types: z.array(downBlocks).default(["DownEncoderBlock2D"]),
  up_block_types: z.array(upBlocks).default(["UpDecoderBlock2D"]),
  block_out_channels: z.array(positive).default([64]),
  layers_per_block: positive.default(1),
  act_fn: z.enum(["silu", "swish"], "expects silu").default("silu"),
  norm_num_groups: positive.default(32),
  sample_size: positive.default(32),
  scaling_factor: z.number().default(0.18215),
  shift_factor: z.number().nullish(),
  latents_mean: none,
  latents_std: none,
  use_quant_conv: z.boolean().default(true),
  use_post_quant_conv: z.boolean().default(true),
  mid_block_add_attention: z.boolean().default(true),
});

/**
 * The configuration in diffusers' `vae/config.json`.
 * @throws InputError naming each field that is wrong or would need something that is not computed here.
 */
export function diffusersAutoencoderConfig(json: unknown, where = "vae/config.json"): AutoencoderConfig {
  const found = checkedJson(diffusersSchema, json, where);
  const levels = found.block_out_channels.length;
  for (const key of ["down_block_types", "up_block_types"] as const) {
    if (found[key].length === levels) continue;
    throw new InputError(`${where}: ${key} lists ${found[key].length} blocks, block_out_channels lists ${levels}`);
  }
  const attentive = (types: readonly string[]) => types.flatMap((type, i) => (type.startsWith("Attn") ? [i] : []));
  const config = {
    inChannels: found.in_channels,
    outChannels: found.out_channels,
    latentChannels: found.latent_channels,
    blockOutChannels: found.block_out_channels,
    layersPerBlock: found.layers_per_block,
    normNumGroups: found.norm_num_groups,
    encoderAttention: attentive(found.down_block_types),
    decoderAttention: attentive(found.up_block_types.toReversed()), // the decoder's first block is the lowest level
    middleAttention: found.mid_block_add_attention,
    quantConvolution: found.use_quant_conv,
    postQuantConvolution: found.use_post_quant_conv,
    scalingFactor: found.scaling_factor,
    shiftFactor: found.shift_factor ?? 0,
    sampleSize: found.sample_size,
  };
  return checkedJson(autoencoderConfigSchema, config, where);
}
