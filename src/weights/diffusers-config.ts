/** The configuration file of diffusers' DiT, as ours and from ours. */

import { InputError, isObject, quote } from "../array/input-error.ts";
import type { DiTConfig } from "../models/dit/config.ts";
import { hasNullClass } from "../models/family.ts";
import { type Model, modelOf } from "../models/registry.ts";
import type { PlacedJson } from "./weights-folder.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** Fields that would change a number, with the values that a DiT computes; the first is written, null and absent are it too. */
const fixedFields = {
  activation_fn: ["gelu-approximate"],
  attention_bias: [true],
  norm_type: ["ada_norm_zero"],
  norm_elementwise_affine: [false],
  cross_attention_dim: [null],
  double_self_attention: [false],
  only_cross_attention: [false],
  num_vector_embeds: [null],
} as const satisfies Record<string, readonly unknown[]>;

/** Where the file is silent: diffusers' defaults. */
const defaults = { num_attention_heads: 16, attention_head_dim: 72, in_channels: 4, num_layers: 28 } as const;
const moreDefaults = { sample_size: 32, patch_size: 2, num_embeds_ada_norm: 1000 } as const;

/**
 * The DiT of a `transformer/config.json`.
 * @throws InputError naming the field that is another model's, or sizes that are none.
 */
export function modelFromDiffusers({ json, where }: PlacedJson): Model {
  const found = fieldsOf(json, where);
  const className = found._class_name;
  if (className !== "DiTTransformer2DModel" && className !== "Transformer2DModel") {
    throw new InputError(`${where}: expected _class_name DiTTransformer2DModel, found ${quote(className)}`);
  }
  for (const [field, expected] of Object.entries(fixedFields)) {
    const value = found[field] ?? expected[0];
    if (!(expected as readonly unknown[]).includes(value)) {
      throw new InputError(
        `${where}: ${field} is ${quote(value)}; a DiT needs ${quote(expected[0])}, so this is another model`,
      );
    }
  }
  const sizes = { ...defaults, ...moreDefaults, ...withoutNulls(found) } as Record<string, number>;
  const out = sizes.out_channels ?? sizes.in_channels!;
  if (out !== sizes.in_channels && out !== 2 * sizes.in_channels!) {
    throw new InputError(
      `${where}: out_channels is ${out}; a DiT needs once or twice in_channels, ${sizes.in_channels}`,
    );
  }
  const config = {
    family: "dit",
    inputSize: sizes.sample_size,
    patchSize: sizes.patch_size,
    inChannels: sizes.in_channels,
    hiddenSize: sizes.num_attention_heads! * sizes.attention_head_dim!,
    depth: sizes.num_layers,
    numHeads: sizes.num_attention_heads,
    numClasses: sizes.num_embeds_ada_norm,
    learnSigma: out !== sizes.in_channels,
  };
  return modelOf(config, where);
}

/** `transformer/config.json` of a DiT. @throws InputError for sizes that diffusers' class does not have. */
export function modelToDiffusers({ family, config }: Model, where: string): Fields {
  const cannot = (why: string) => new InputError(`${where}: ${why}; convert to pt or safetensors instead`);
  if (family.name !== "dit") throw cannot(`diffusers has no ${family.name}, only a DiT`);
  const { hiddenSize, numHeads, depth, mlpRatio, inputSize, patchSize, ...rest } = config as DiTConfig;
  if (rest.keptHeads !== undefined || rest.mlpSize !== undefined) {
    throw cannot("diffusers' DiT has heads and an MLP as wide as its hidden size says, this model was pruned in width");
  }
  if (!hasNullClass(rest)) throw cannot('diffusers\' DiT has a class for "no label", this model has none');
  if (mlpRatio !== 4) throw cannot(`diffusers' DiT has an mlpRatio of 4, this model one of ${mlpRatio}`);
  if (depth === 0) throw cannot("diffusers' DiT needs at least one block");
  return {
    _class_name: "DiTTransformer2DModel",
    _diffusers_version: "0.27.0", // the first with this class
    activation_fn: "gelu-approximate",
    attention_bias: true,
    attention_head_dim: hiddenSize / numHeads,
    dropout: 0,
    in_channels: rest.inChannels,
    norm_elementwise_affine: false,
    norm_eps: 1e-6, // diffusers' own default, 1e-5, is not the original's
    norm_num_groups: 32,
    norm_type: "ada_norm_zero",
    num_attention_heads: numHeads,
    num_embeds_ada_norm: rest.numClasses,
    num_layers: depth,
    out_channels: (rest.learnSigma ? 2 : 1) * rest.inChannels,
    patch_size: patchSize,
    sample_size: inputSize,
    upcast_attention: false,
  };
}

/** A JSON object. @throws InputError for any other JSON. */
export function fieldsOf(json: unknown, where: string): Fields {
  if (isObject(json)) return json;
  throw new InputError(`${where}: expected a JSON object, found ${JSON.stringify(json)?.slice(0, 40)}`);
}

const withoutNulls = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
