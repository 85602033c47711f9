/** The pruned model: the kept blocks under new numbers, everything else as it was. */
import { InputError } from "../array/input-error.ts";
import type { Weight } from "../engine/engine.ts";
import type { LayerMap } from "../models/layer-pairs.ts";
import type { Model } from "../models/registry.ts";
import { type ModelFacts, type ModelFile, type Pruning, saveModel } from "../weights/model-file.ts";
import { type Group, printGroups } from "./groups.ts";

/**
 * Weights of the kept blocks, renamed to their new numbers, and all weights outside blocks.
 * @throws InputError unless `kept` are blocks of the model, ascending, each once and at least one.
 */
export function keepBlocks<T>(
  { family, config }: Model,
  weights: ReadonlyMap<string, T>,
  kept: readonly number[],
): Map<string, T> {
  if (kept.length === 0) throw new InputError("`blocks`: expected at least one block to keep, found none");
  const before = family.blockScopes(config);
  const after = family.blockScopes(family.keep(config, kept));
  const renamed = new Map(kept.map((block, i) => [before[block]!, after[i]!]));
  const result = new Map<string, T>();
  for (const [name, value] of weights) {
    const scope = before.find((prefix) => name.startsWith(`${prefix}.`));
    if (scope === undefined) result.set(name, value);
    else if (renamed.has(scope)) result.set(renamed.get(scope)! + name.slice(scope.length), value);
  }
  return result;
}

/**
 * Block numbers written `0,2,5`, ascending and each once.
 * @throws InputError for anything that is not a block of the model.
 */
export function parseKept(text: string, depth: number): number[] {
  const kept = text.split(",").map((part) => (/^\s*\d+\s*$/.test(part) ? Number(part) : Number.NaN));
  const bad = kept.findIndex((block) => !Number.isInteger(block) || block >= depth);
  if (bad >= 0) {
    throw new InputError(
      `\`blocks\` ${text}: expected block numbers from 0 to ${depth - 1}, found "${text.split(",")[bad]}"`,
    );
  }
  const unique = [...new Set(kept)].sort((a, b) => a - b);
  if (unique.length !== kept.length) throw new InputError(`\`blocks\` ${text}: expected each block once`);
  return unique;
}

/** What is kept and how it was decided. */
export interface KeepPlan {
  readonly kept: readonly number[];
  readonly groups?: readonly Group[];
  readonly layerMap: LayerMap;
}

/** Metadata of the pruned file: its parent's and one more pruning. */
export function prunedFacts(parent: ModelFile, { kept, groups, layerMap }: KeepPlan): ModelFacts {
  const pruning: Pruning = {
    parent: parent.sha256,
    parentDepth: parent.model.config.depth,
    kept,
    ...(groups && { groups: printGroups(groups) }),
    layerMap,
  };
  return {
    weights: parent.weights,
    images: parent.images,
    prunings: [...parent.prunings, pruning],
    process: parent.process,
    ...(parent.classNames && { classNames: parent.classNames }),
  };
}

/** Writes the pruned model beside its decision. `weights` are the parent's, unless a learned update is kept. */
export async function savePruned(
  path: string,
  parent: ModelFile,
  plan: KeepPlan,
  weights: ReadonlyMap<string, Weight> = parent.tensors,
): Promise<void> {
  const { family, config } = parent.model;
  const model: Model = { family, config: family.keep(config, plan.kept) };
  await saveModel(path, model, keepBlocks(parent.model, weights, plan.kept), prunedFacts(parent, plan));
}
