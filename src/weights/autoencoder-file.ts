/** Weights of an autoencoder, of any file and naming, left where they are; and its description as diffusers writes it. */

import { InputError } from "../array/input-error.ts";
import type { StoredTensor, WeightFile } from "../formats/weight-file.ts";
import { autoencoderSpecs } from "../models/autoencoder/autoencoder.ts";
import {
  type AutoencoderConfig,
  autoencoderPresets,
  diffusersAutoencoderConfig,
} from "../models/autoencoder/config.ts";
import { autoencoderNames } from "../models/autoencoder/names.ts";
import type { OpenedWeights } from "./open-weights.ts";
import { checkWeights } from "./weight-specs.ts";

/** An autoencoder in a file. */
export interface StoredAutoencoder {
  readonly config: AutoencoderConfig;
  /** By diffusers' present names. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** What else the file holds, as parts with numbers of weights: `loss (24)`. */
  readonly others: readonly string[];
}

/** The name of the autoencoder that all these weights are, whatever they are called; undefined if they are none. */
export function fittingAutoencoder(tensors: WeightFile["tensors"]): string | undefined {
  for (const [preset, config] of autoencoderPresets) {
    const specs = autoencoderSpecs(config);
    const { weights } = autoencoderNames(tensors.values(), specs, config);
    const isEqual = specs.every(({ name, shape }) => String(weights.get(name)?.shape) === String(shape));
    if (weights.size === specs.length && isEqual) return preset;
  }
  return undefined;
}

/**
 * The autoencoder in opened weights: as `given`, by the `config.json` beside them, or by their shapes.
 * @throws InputError if they are none, listing what does not fit.
 */
export function storedAutoencoder(
  { tensors, diffusers, path }: Pick<OpenedWeights, "tensors" | "diffusers" | "path">,
  given?: AutoencoderConfig,
): StoredAutoencoder {
  const described = diffusers && diffusersAutoencoderConfig(diffusers.config.json, diffusers.config.where);
  const config = given ?? described ?? autoencoderPresets.get(fittingAutoencoder(tensors) ?? "");
  if (!config) {
    const known = [...autoencoderPresets.keys()].join(" or ");
    throw new InputError(`${path}: its weights are not those of ${known}; give the folder with the config.json of it`);
  }
  const specs = autoencoderSpecs(config);
  const { weights, others } = autoencoderNames(tensors.values(), specs, config);
  const named = new Map<string, StoredTensor>();
  for (const [ours, { name, shape }] of weights) {
    const tensor = tensors.get(name)!;
    named.set(ours, { ...tensor, name: ours, shape, read: async () => (await tensor.read()).reshape(shape) });
  }
  checkWeights(specs, named, path);
  return { config, tensors: named, others };
}

/** `vae/config.json` of an autoencoder. */
export function autoencoderToDiffusers(config: AutoencoderConfig): Readonly<Record<string, unknown>> {
  const { blockOutChannels, encoderAttention, decoderAttention } = config;
  const types = (attentive: readonly number[], kind: string) =>
    blockOutChannels.map((_, level) => `${attentive.includes(level) ? "Attn" : ""}${kind}`);
  return {
    _class_name: "AutoencoderKL",
    _diffusers_version: "0.27.0",
    act_fn: "silu",
    block_out_channels: blockOutChannels,
    down_block_types: types(encoderAttention, "DownEncoderBlock2D"),
    in_channels: config.inChannels,
    latent_channels: config.latentChannels,
    layers_per_block: config.layersPerBlock,
    mid_block_add_attention: config.middleAttention,
    norm_num_groups: config.normNumGroups,
    out_channels: config.outChannels,
    sample_size: config.sampleSize,
    scaling_factor: config.scalingFactor,
    ...(config.shiftFactor !== 0 && { shift_factor: config.shiftFactor }),
    up_block_types: types(decoderAttention, "UpDecoderBlock2D").toReversed(), // the first one there is the lowest level
    use_post_quant_conv: config.postQuantConvolution,
    use_quant_conv: config.quantConvolution,
  };
}
