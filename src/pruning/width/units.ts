/** The units that width pruning removes: heads and MLP channels, with the rows and columns of weights that are theirs. */
import { InputError } from "../../array/input-error.ts";
import { attentionHeads, type DiTConfig, mlpChannels } from "../../models/dit/config.ts";
import type { Model } from "../../models/registry.ts";
import type { ChannelGroupKind } from "../../weights/width-pruning.ts";

/** A model whose blocks have heads and MLP channels that can be removed: a DiT or a SiT. */
export interface PrunableModel extends Model {
  readonly config: DiTConfig;
}

/** A run of rows (axis 0) or columns (axis 1) of a weight: unit u has `start + u · size` and the `size − 1` behind it. */
export interface ChannelSlice {
  readonly name: string;
  readonly axis: 0 | 1;
  readonly start: number;
}

/** The units of one kind in one block. */
export interface ChannelGroups {
  readonly count: number;
  /** Rows or columns of one unit in each part. */
  readonly size: number;
  /** The weights; biases are no part of them, as in Diff-Pruning's code. */
  readonly weights: readonly ChannelSlice[];
  /** The biases that go with the rows. Those behind the columns belong to no unit. */
  readonly biases: readonly ChannelSlice[];
}

export type Widths = { readonly [K in ChannelGroupKind]: number };

/** @throws InputError for a family whose blocks are other ones, or a model without blocks. */
export function requirePrunableModel(model: Model, path: string): PrunableModel {
  const { family, config } = model;
  if (family.name !== "dit" && family.name !== "sit") {
    throw new InputError(
      `${path}: width pruning knows the blocks of DiT and SiT, found a ${family.name} model; prune its depth with tinyfusion prune`,
    );
  }
  if (config.depth === 0) throw new InputError(`${path}: width pruning needs a model with blocks, this one has none`);
  return model as PrunableModel;
}

/** How many units each block of a model has. */
export const widthsOf = ({ config }: PrunableModel): Widths => ({
  heads: attentionHeads(config).count,
  channels: mlpChannels(config),
});

/** The units of each block, in forward order. */
export function channelGroupsOf(model: PrunableModel): { readonly [K in ChannelGroupKind]: ChannelGroups }[] {
  const { heads, channels } = widthsOf(model);
  const { size } = attentionHeads(model.config);
  const queriesKeysValues = [0, heads * size, 2 * heads * size];
  return model.family.blockScopes(model.config).map((scope) => {
    const rows = (layer: string, field: string, starts: readonly number[]): ChannelSlice[] =>
      starts.map((start) => ({ name: `${scope}.${layer}.${field}`, axis: 0, start }));
    const columns = (layer: string): ChannelSlice => ({ name: `${scope}.${layer}.weight`, axis: 1, start: 0 });
    return {
      heads: {
        count: heads,
        size,
        weights: [...rows("attn.qkv", "weight", queriesKeysValues), columns("attn.proj")],
        biases: rows("attn.qkv", "bias", queriesKeysValues),
      },
      channels: {
        count: channels,
        size: 1,
        weights: [...rows("mlp.fc1", "weight", [0]), columns("mlp.fc2")],
        biases: rows("mlp.fc1", "bias", [0]),
      },
    };
  });
}

/** The model with these widths; a width that its configuration implies anyway is not written. */
export function withWidths({ family, config }: PrunableModel, { heads, channels }: Widths): PrunableModel {
  const { keptHeads: _, mlpSize: __, ...full } = config;
  const implied = widthsOf({ family, config: full });
  const narrow = {
    ...full,
    ...(heads !== implied.heads && { keptHeads: heads }),
    ...(channels !== implied.channels && { mlpSize: channels }),
  };
  return { family, config: family.parse(narrow) as DiTConfig };
}
