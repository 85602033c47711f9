/** Width pruning (Fang, Ma and Wang 2023, arXiv 2305.10924): the least important heads and channels of each block go. */
import type { TrainingSet } from "../../data/training-set.ts";
import type { Engine, Weight } from "../../engine/engine.ts";
import { type ChannelGroupKind, channelGroupKinds, rangesText } from "../../weights/model-description.ts";
import { type ModelFile, type Pruning, saveModel } from "../../weights/model-file.ts";
import { readWeights } from "../../weights/read-weights.ts";
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
  /** How many heads and channels of each block stay. */
  readonly keep: Widths;
  readonly seed: number;
}

/** What gradients are computed with; the criteria `magnitude` and `random` need none. */
export interface Calibration {
  readonly engine: Engine;
  readonly data: TrainingSet;
  readonly settings: Omit<GradientSettings, "seed">;
  readonly hooks?: GradientHooks;
}

/** Which heads and channels stay, and why. */
export interface WidthDecision extends WidthSettings {
  readonly kept: KeptChannelGroups;
  /** Importance of every group of every block, in the parent's numbers. */
  readonly scores: readonly { readonly [K in ChannelGroupKind]: readonly number[] }[];
  /** Empty where no gradient was needed. */
  readonly losses: readonly TimestepLoss[];
}

/** How many of `count` groups a fraction keeps: rounded, and one at least. */
export const keptOfFraction = (count: number, fraction: number): number => Math.max(1, Math.round(count * fraction));

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
  const names = blocks.flatMap((groups) => kinds.flatMap((kind) => groups[kind].weights.map(({ name }) => name)));
  const { gradients, losses } = await gradientsFor(file, settings, calibration, [...new Set(names)]);
  const scores: Record<ChannelGroupKind, number[]>[] = [];
  const kept: Record<ChannelGroupKind, number[]>[] = [];
  for (const [block, { heads, channels }] of blocks.entries()) {
    scores.push({ heads: [], channels: [] });
    kept.push({ heads: numbersTo(heads.count), channels: numbersTo(channels.count) });
    for (const kind of kinds) {
      const groups = { heads, channels }[kind];
      const own =
        criterion === "random"
          ? randomScores(seed, kind, block, groups.count)
          : groupScores(criterion, groups, { weights: await valuesOf(file, groups), gradients });
      scores[block]![kind] = [...own];
      kept[block]![kind] = mostImportant(own, keep[kind], `${file.path}: block ${block}, ${kind}`);
    }
  }
  return { ...settings, kept, scores, losses };
}

const numbersTo = (end: number): number[] => Array.from({ length: end }, (_, i) => i);

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

/** The weights of one block's groups, read now. */
const valuesOf = ({ tensors }: ModelFile, { weights }: ChannelGroups) =>
  readWeights(new Map(weights.map(({ name }) => [name, tensors.get(name)!])));

/** The entry of the pruned file's metadata. */
export function widthPruningOf(parent: ModelFile, model: PrunableModel, { criterion, kept }: WidthDecision): Pruning {
  const { depth } = model.config;
  const all = numbersTo(depth);
  const removed = (kind: ChannelGroupKind) => {
    const of = widthsOf(model)[kind];
    const gone = kept.map((groups) => numbersTo(of).filter((group) => !groups[kind].includes(group)));
    return { of, removed: gone.map(rangesText) };
  };
  return {
    parent: parent.sha256,
    parentDepth: depth,
    kept: all,
    layerMap: all.map((block) => [block, block] as const),
    width: { criterion, heads: removed("heads"), channels: removed("channels") },
  };
}

/** The pruned model of a decision, and its weights. */
export function prunedModel(
  model: PrunableModel,
  weights: ReadonlyMap<string, Weight>,
  { keep, kept }: Pick<WidthDecision, "keep" | "kept">,
): { model: PrunableModel; weights: Map<string, Weight> } {
  return { model: withWidths(model, keep), weights: keepChannelGroups(model, weights, kept) };
}

/**
 * Writes the pruned model, whole or not at all.
 * @throws InputError if the disk refuses.
 */
export async function savePrunedWidths(path: string, parent: ModelFile, decision: WidthDecision): Promise<void> {
  const original = requirePrunableModel(parent.model, parent.path);
  const { model, weights } = prunedModel(original, parent.tensors, decision);
  const { images, process, prunings } = parent;
  await saveModel(path, model, weights, {
    weights: parent.weights,
    images,
    process,
    prunings: [...prunings, widthPruningOf(parent, original, decision)],
  });
}
