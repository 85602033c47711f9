/** The channel groups that width pruning removes: attention heads and MLP channels, as rows and columns of weights. */
import { InputError } from "../../array/input-error.ts";
import { float32, NDArray } from "../../array/ndarray.ts";
import type { Weight } from "../../engine/engine.ts";
import { attentionHeads, type DiTConfig, mlpChannels } from "../../models/dit/config.ts";
import type { Model } from "../../models/registry.ts";
import { type ChannelGroupKind, channelGroupKinds } from "../../weights/model-description.ts";
import { readWeight } from "../../weights/read-weights.ts";

/** A model whose blocks have heads and MLP channels that can be removed: a DiT or a SiT. */
export interface PrunableModel extends Model {
  readonly config: DiTConfig;
}

/** Rows (axis 0) or columns (axis 1) of a weight: group g has those from `start + g · size` to `start + (g + 1) · size`. */
export interface ChannelSlice {
  readonly name: string;
  readonly axis: 0 | 1;
  readonly start: number;
}

/** The channel groups of one kind in one block. */
export interface ChannelGroups {
  readonly count: number;
  /** Rows or columns of one group in each slice. */
  readonly size: number;
  /** The weights; biases are no part of them, as in Diff-Pruning's code. */
  readonly weights: readonly ChannelSlice[];
  /** The biases that go with the rows. Those behind the columns belong to no group. */
  readonly biases: readonly ChannelSlice[];
}

export type Widths = { readonly [K in ChannelGroupKind]: number };

/** The groups of each block that stay, ascending. */
export type KeptChannelGroups = readonly { readonly [K in ChannelGroupKind]: readonly number[] }[];

/** @throws InputError for a family whose blocks are other ones, or a model without blocks. */
export function requirePrunableModel(model: Model, path: string): PrunableModel {
  const { family, config } = model;
  if (family.name !== "dit" && family.name !== "sit") {
    throw new InputError(
      `${path}: width pruning expects the blocks of DiT or SiT, found a ${family.name} model; prune its depth with tinyfusion prune`,
    );
  }
  if (config.depth === 0) throw new InputError(`${path}: width pruning needs a model with blocks, this one has none`);
  return model as PrunableModel;
}

/** How many heads and MLP channels each block of a model has. */
export const widthsOf = ({ config }: PrunableModel): Widths => ({
  heads: attentionHeads(config).count,
  channels: mlpChannels(config),
});

/** The channel groups of each block, in forward order. */
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
  const pruned = {
    ...full,
    ...(heads !== implied.heads && { keptHeads: heads }),
    ...(channels !== implied.channels && { mlpSize: channels }),
  };
  return { family, config: family.parse(pruned) as DiTConfig };
}

/** Which rows or columns of a weight stay, ascending. */
interface KeptIndices {
  readonly axis: 0 | 1;
  readonly indices: Int32Array;
}

/**
 * The weights of the kept groups. Those in memory are copied; those in a file are sliced when they are read, so that one
 * at a time is in memory.
 */
export function keepChannelGroups(
  model: PrunableModel,
  weights: ReadonlyMap<string, Weight>,
  kept: KeptChannelGroups,
): Map<string, Weight> {
  const byName = keptIndices(model, kept);
  const sliced = (name: string, weight: Weight): Weight => {
    const own = byName.get(name);
    if (!own) return weight;
    if (weight instanceof NDArray) return take(weight as NDArray<"float32">, own);
    const shape = weight.shape.map((size, axis) => (axis === own.axis ? own.indices.length : size));
    return { name, dtype: "float32", shape, read: async () => take(await readWeight(weight), own) };
  };
  return new Map(Array.from(weights, ([name, weight]) => [name, sliced(name, weight)] as const));
}

/** What stays of each weight that loses something. A weight may hold a group in several slices: queries, keys, values. */
function keptIndices(model: PrunableModel, kept: KeptChannelGroups): Map<string, KeptIndices> {
  const found = new Map<string, KeptIndices>();
  for (const [block, groups] of channelGroupsOf(model).entries()) {
    for (const kind of channelGroupKinds) {
      const { size, weights, biases } = groups[kind];
      const rows = kept[block]![kind].flatMap((group) => Array.from({ length: size }, (_, i) => group * size + i));
      const slices = [...weights, ...biases];
      for (const { name, axis } of slices) {
        const own = slices.filter((slice) => slice.name === name);
        const indices = Int32Array.from(own.flatMap(({ start }) => rows.map((row) => start + row)));
        found.set(name, { axis, indices });
      }
    }
  }
  return found;
}

/** Rows or columns of a weight [rows, columns], or elements of a bias [rows]. */
function take({ data, shape }: NDArray<"float32">, { axis, indices }: KeptIndices): NDArray<"float32"> {
  const [rows, columns = 1] = shape as readonly [number, number?];
  if (axis === 0) {
    const values = new Float32Array(indices.length * columns);
    indices.forEach((from, row) => {
      values.set(data.subarray(from * columns, (from + 1) * columns), row * columns);
    });
    return float32(values, [indices.length, ...shape.slice(1)]);
  }
  const values = new Float32Array(rows * indices.length);
  for (let row = 0; row < rows; row++) {
    indices.forEach((from, column) => {
      values[row * indices.length + column] = data[row * columns + from]!;
    });
  }
  return float32(values, [rows, indices.length]);
}
