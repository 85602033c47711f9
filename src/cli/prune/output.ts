/** What `tinyfusion prune` writes: the decision, and the shallow model with its pairs of layers. */
import { join } from "node:path";
import type { LayerMap } from "../../models/layer-pairs.ts";
import type { Model } from "../../models/registry.ts";
import { keptInStacks } from "../../pruning/budget.ts";
import type { DecisionFile } from "../../pruning/decision.ts";
import { type Group, parseGroups, type Stacks } from "../../pruning/groups.ts";
import { savePruned } from "../../pruning/keep-blocks.ts";
import { type LayerMapRule, layerMap, layerMapRules, parseLayerMap } from "../../pruning/layer-map.ts";
import { writeAtomically } from "../../storage/atomic-write.ts";
import { jsonText, sealed } from "../../storage/json.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import type { Weight } from "../../weights/placed-weights.ts";

const isRule = (text: string): text is LayerMapRule => layerMapRules.some((rule) => rule === text);

/** How many blocks each stack of the model has. */
export const stacksOf = ({ family, config }: Model): number[] => family.stacks(config);

/** @throws InputError for explicit pairs that do not fit what the groups will keep. */
export function checkLayerMap(text: string, groups: readonly Group[], stacks: Stacks): void {
  if (!isRule(text)) parseLayerMap(text, keptInStacks(groups, stacks), stacks);
}

/** The pairs between a model and what is kept of it. @throws InputError for explicit pairs that do not fit. */
export function pairsOf(text: string, teacher: Model, kept: readonly number[], groups?: readonly Group[]): LayerMap {
  const stacks = stacksOf(teacher);
  if (isRule(text)) return layerMap(text, stacks, kept, groups);
  return parseLayerMap(text, stacksOf({ ...teacher, config: teacher.family.keep(teacher.config, kept) }), stacks);
}

/** Writes `decision.json` and `pruned.safetensors`; `weights` are the parent's, unless a learned update is kept. */
export async function writeDecision(
  out: string,
  file: ModelFile,
  decision: DecisionFile,
  layerMapText: string,
  weights?: ReadonlyMap<string, Weight>,
): Promise<string[]> {
  await writeAtomically(join(out, "decision.json"), jsonText(sealed(decision)));
  const { kept, groups: written } = decision;
  const groups = written === undefined ? undefined : parseGroups(written, stacksOf(file.model));
  const pairs = pairsOf(layerMapText, file.model, kept, groups);
  const path = join(out, "pruned.safetensors");
  await savePruned(path, file, { kept, ...(groups && { groups }), layerMap: pairs }, weights);
  return [...decisionLines(decision), path];
}

/** The decision in a few lines. */
function decisionLines({ kept, depth, averaged, flips, scores }: DecisionFile): string[] {
  const sure = averaged?.confidence.map((p) => p.toFixed(2)).join(" ");
  return [
    `kept ${kept.join(",")} of ${depth}`,
    ...(scores ? [`score per block ${scores.map((score) => score.toPrecision(3)).join(" ")}`] : []),
    ...(sure
      ? [`confidence per group ${sure}; ${flips?.length ?? 0} flips, the last after step ${flips?.at(-1) ?? 0}`]
      : []),
  ];
}
