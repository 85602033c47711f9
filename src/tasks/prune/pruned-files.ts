/** What `prune` writes: the decision, and the shallow model with its pairs of layers. */

import { join } from "node:path";
import type { Weight } from "../../engine/engine.ts";
import type { LayerMap } from "../../models/layer-pairs.ts";
import type { Model } from "../../models/registry.ts";
import { keptInStacks } from "../../pruning/budget.ts";
import type { DecisionFile } from "../../pruning/decision.ts";
import { type Group, parseGroups, type Stacks } from "../../pruning/groups.ts";
import { savePruned } from "../../pruning/keep-blocks.ts";
import { type LayerMapRule, layerMap, layerMapRules, parseLayerMap } from "../../pruning/layer-map.ts";
import { writeAtomically } from "../../storage/atomic-write.ts";
import { jsonText, sealed } from "../../storage/json.ts";
import { RunFolder } from "../../training/run-folder.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import type { TaskContext } from "../task.ts";
import { closeness, comparedBy, repeatable } from "../training-run.ts";
import { versions } from "../version.ts";

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

/** What pruning decided, and the shallow model that it wrote. */
export interface PrunedResult {
  readonly decision: DecisionFile;
  /** Path of `pruned.safetensors`. */
  readonly pruned: string;
}

/** Writes `decision.json` and `pruned.safetensors`; `weights` are the parent's, unless a learned update is kept. */
export async function writeDecision(
  out: string,
  file: ModelFile,
  decision: DecisionFile,
  layerMapText: string,
  weights?: ReadonlyMap<string, Weight>,
): Promise<PrunedResult> {
  await writeAtomically(join(out, "decision.json"), jsonText(sealed(decision)));
  const { kept, groups: written } = decision;
  const groups = written === undefined ? undefined : parseGroups(written, stacksOf(file.model));
  const pairs = pairsOf(layerMapText, file.model, kept, groups);
  const path = join(out, "pruned.safetensors");
  await savePruned(path, file, { kept, ...(groups && { groups }), layerMap: pairs }, weights);
  return { decision, pruned: path };
}

/** What is pruned, and by what: all of it must be the same for the folder to be written again. */
export interface PrunedFrom {
  readonly command: string;
  /** Options that decide on the result. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly parent: Pick<ModelFile, "sha256" | "model">;
  /** The images that something was measured on, if it was. */
  readonly data?: { readonly sha256: string } | undefined;
}

function configOf({ command, values, parent, data }: PrunedFrom): Record<string, unknown> {
  const { threads, device, ...settings } = repeatable(values);
  return {
    command,
    ...settings,
    ...(data && { threads, ...(device !== undefined && { device }), dataSha256: data.sha256 }),
    parent: parent.sha256,
    modelConfiguration: parent.model.config,
    versions: versions(),
  };
}

/**
 * Chooses and writes in `out`. Where that fails or is stopped, a new folder is removed, and one that was empty is left so.
 * @throws InputError for a folder in use, or one of other settings.
 */
export async function inPruneFolder<R>(
  out: string,
  prunedFrom: PrunedFrom,
  { note }: TaskContext,
  work: (folder: RunFolder) => Promise<R>,
): Promise<R> {
  const folder = RunFolder.open(out);
  let isDone = false;
  try {
    const { warnings } = await folder.acquire(configOf(prunedFrom), comparedBy);
    for (const warning of warnings) note(`repeated with another setting, ${closeness(warning)}`);
    const result = await work(folder);
    isDone = true;
    return result;
  } finally {
    if (isDone) folder.close();
    else await folder.abandon(["decision.json", "widths.json", "pruned.safetensors"]);
  }
}
