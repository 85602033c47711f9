/** Width pruning (Fang, Ma and Wang 2023, arXiv 2305.10924): the least important heads and channels of each block go. */
import type { TrainingSet } from "../../data/training-set.ts";
import type { Engine } from "../../engine/engine.ts";
import { type ModelFile, type Pruning, saveModel } from "../../weights/model-file.ts";
import { readWeight, type Weight } from "../../weights/placed-weights.ts";
import { type ChannelGroupKind, channelGroupKinds, rangesText } from "../../weights/width-pruning.ts";
import {
  type ChannelGroups,
  channelGroupsOf,
  type KeptChannelGroups,
  keepChannelGroups,
  type PrunableModel,
  requirePrunableModel,
  type Widths,
  widthsOf,
  withWidths,
} from "./channel-groups.ts";
import { gradientsOf, groupScores, mostImportant, randomScores, type WidthCriterion } from "./importance.ts";
import {
  type GradientHooks,
  type GradientSettings,
  type TimestepLoss,
  timestepGradients,
} from "./timestep-gradients.ts";

export interface WidthSettings {
  readonly criterion: WidthCriterion;
  /** How many units of each block stay. */
  readonly keep: Widths;
  readonly seed: number;
}

/** What gradients are computed with; magnitudes and lots need none. */
export interface Calibration {
  readonly engine: Engine;
  readonly data: TrainingSet;
  readonly settings: Omit<GradientSettings, "seed">;
  readonly hooks?: GradientHooks;
}

/** Which units stay, and why. */
export interface WidthDecision extends WidthSettings {
  readonly kept: KeptChannelGroups;
  /** Importance of every unit of every block, in the parent's numbers. */
  readonly scores: readonly { readonly [K in ChannelGroupKind]: readonly number[] }[];
  /** Empty where no gradient was needed. */
  readonly losses: readonly TimestepLoss[];
}

/** How many of `count` units a share keeps: rounded, and one at least. */
export const keptOfShare = (count: number, share: number): number => Math.max(1, Math.round(count * share));

/**
 * Decides by the criterion; every block keeps equally many.
 * @throws InputError for a model of other blocks, or weights, losses or scores that are not finite.
 */
export async function decideWidths(
  file: ModelFile,
  settings: WidthSettings,
  calibration?: Calibration,
): Promise<WidthDecision> {
  const { criterion, keep, seed } = settings;
  const model = requirePrunableModel(file.model, file.path);
  const blocks = channelGroupsOf(model);
  const kinds = channelGroupKinds.filter((kind) => keep[kind] < widthsOf(model)[kind]);
  const found = await gradientsFor(file, settings, calibration, namesOf(blocks, kinds));
  const scores: Record<ChannelGroupKind, number[]>[] = [];
  const kept: Record<ChannelGroupKind, number[]>[] = [];
  for (const [block, units] of blocks.entries()) {
    scores.push({ heads: [], channels: [] });
    kept.push({ heads: everyGroup(units.heads), channels: everyGroup(units.channels) });
    for (const kind of kinds) {
      const of =
        criterion === "random"
          ? randomScores(seed, kind, block, units[kind].count)
          : groupScores(criterion, units[kind], { weights: await valuesOf(file, units[kind]), ...found });
      scores[block]![kind] = [...of];
      kept[block]![kind] = mostImportant(of, keep[kind], `${file.path}: block ${block}, ${kind}`);
    }
  }
  return { ...settings, kept, scores, losses: found.losses };
}

const everyGroup = ({ count }: ChannelGroups): number[] => Array.from({ length: count }, (_, unit) => unit);

/** The weights that units of these kinds have in any block. */
const namesOf = (blocks: ReturnType<typeof channelGroupsOf>, kinds: readonly ChannelGroupKind[]): string[] => [
  ...new Set(blocks.flatMap((units) => kinds.flatMap((kind) => units[kind].weights.map(({ name }) => name)))),
];

/** The summed gradients that the criterion needs. */
async function gradientsFor(
  file: ModelFile,
  { criterion, seed }: WidthSettings,
  calibration: Calibration | undefined,
  names: readonly string[],
) {
  const needed = gradientsOf(criterion);
  if (needed === "none" || names.length === 0) return { gradients: new Map<string, Float32Array>(), losses: [] };
  if (!calibration) throw new TypeError(`${criterion}: gradients need a calibration`);
  const { engine, data, settings, hooks } = calibration;
  const threshold = needed === "every" ? 0 : settings.threshold;
  return timestepGradients(engine, file, data, names, { ...settings, seed, threshold }, hooks);
}

/** The weights of one block's units, read now. */
async function valuesOf({ tensors }: ModelFile, { weights }: ChannelGroups) {
  const names = new Set(weights.map(({ name }) => name));
  const values = await Promise.all(
    Array.from(names, async (name) => [name, await readWeight(tensors.get(name)!)] as const),
  );
  return new Map(values);
}

/** What the narrow file says of how it came about. */
export function widthPruningOf(parent: ModelFile, model: PrunableModel, { criterion, kept }: WidthDecision): Pruning {
  const { depth } = model.config;
  const all = Array.from({ length: depth }, (_, block) => block);
  const told = (kind: ChannelGroupKind) => {
    const of = widthsOf(model)[kind];
    const removed = kept.map((units) => {
      const stays = new Set(units[kind]);
      return rangesText(Array.from({ length: of }, (_, unit) => unit).filter((unit) => !stays.has(unit)));
    });
    return { of, removed };
  };
  return {
    parent: parent.sha256,
    parentDepth: depth,
    kept: all,
    layerMap: all.map((block) => [block, block] as const),
    width: { criterion, heads: told("heads"), channels: told("channels") },
  };
}

/** The narrow model of a decision, and its weights. */
export function prunedModel(
  model: PrunableModel,
  weights: ReadonlyMap<string, Weight>,
  { keep, kept }: Pick<WidthDecision, "keep" | "kept">,
): { model: PrunableModel; weights: Map<string, Weight> } {
  return { model: withWidths(model, keep), weights: keepChannelGroups(model, weights, kept) };
}

/**
 * Writes the narrow model, whole or not at all.
 * @throws InputError if the disk refuses.
 */
export async function savePrunedWidths(path: string, parent: ModelFile, decision: WidthDecision): Promise<void> {
  const wide = requirePrunableModel(parent.model, parent.path);
  const { model, weights } = prunedModel(wide, parent.tensors, decision);
  const { images, process, prunings } = parent;
  const facts = {
    weights: parent.weights,
    images,
    process,
    prunings: [...prunings, widthPruningOf(parent, wide, decision)],
  };
  await saveModel(path, model, weights, facts);
}
