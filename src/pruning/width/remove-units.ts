/** The narrow model: the rows and columns of the units that stay, everything else as it was. */
import { float32, NDArray } from "../../array/ndarray.ts";
import { readWeight, type Weight } from "../../weights/placed-weights.ts";
import { type ChannelGroupKind, channelGroupKinds } from "../../weights/width-pruning.ts";
import { type ChannelGroups, type ChannelSlice, channelGroupsOf, type PrunableModel } from "./units.ts";

/** The units of each block that stay, ascending. */
export type KeptChannelGroups = readonly { readonly [K in ChannelGroupKind]: readonly number[] }[];

/** Which rows or columns of a weight stay, ascending. */
interface Cut {
  readonly axis: 0 | 1;
  readonly lines: Int32Array;
}

/**
 * The weights of the kept units. Those in memory are copied; those in a file are cut when they are read, so that one at a
 * time is in memory.
 */
export function keepChannelGroups(
  model: PrunableModel,
  weights: ReadonlyMap<string, Weight>,
  kept: KeptChannelGroups,
): Map<string, Weight> {
  const cuts = cutsOf(model, kept);
  const cutWeight = (name: string, weight: Weight): Weight => {
    const cut = cuts.get(name);
    if (!cut) return weight;
    if (weight instanceof NDArray) return keepLines(weight as NDArray<"float32">, cut);
    const shape = weight.shape.map((size, axis) => (axis === cut.axis ? cut.lines.length : size));
    return { name, dtype: "float32", shape, read: async () => keepLines(await readWeight(weight), cut) };
  };
  return new Map(Array.from(weights, ([name, weight]) => [name, cutWeight(name, weight)] as const));
}

/** What stays of each weight that loses something. */
function cutsOf(model: PrunableModel, kept: KeptChannelGroups): Map<string, Cut> {
  const cuts = new Map<string, Cut>();
  for (const [block, units] of channelGroupsOf(model).entries()) {
    for (const kind of channelGroupKinds) {
      const parts = [...units[kind].weights, ...units[kind].biases];
      for (const { name } of parts) {
        const own = parts.filter((part) => part.name === name);
        cuts.set(name, cutOf(own, units[kind], kept[block]![kind]));
      }
    }
  }
  return cuts;
}

/** A weight may hold a unit in several parts, as queries, keys and values. */
function cutOf(parts: readonly ChannelSlice[], { size }: ChannelGroups, kept: readonly number[]): Cut {
  const lines = parts.flatMap(({ start }) =>
    kept.flatMap((unit) => Array.from({ length: size }, (_, i) => start + unit * size + i)),
  );
  return { axis: parts[0]!.axis, lines: Int32Array.from(lines) };
}

/** Rows or columns of a weight [rows, columns], or elements of a bias [rows]. */
function keepLines({ data, shape }: NDArray<"float32">, { axis, lines }: Cut): NDArray<"float32"> {
  const [rows, columns = 1] = shape as readonly [number, number?];
  if (axis === 0) {
    const values = new Float32Array(lines.length * columns);
    lines.forEach((line, row) => {
      values.set(data.subarray(line * columns, (line + 1) * columns), row * columns);
    });
    return float32(values, [lines.length, ...shape.slice(1)]);
  }
  const values = new Float32Array(rows * lines.length);
  for (let row = 0; row < rows; row++) {
    lines.forEach((line, column) => {
      values[row * lines.length + column] = data[row * columns + line]!;
    });
  }
  return float32(values, [rows, lines.length]);
}
