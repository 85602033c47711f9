/** `prune` by every method that does not learn: choose, then write, or leave nothing behind. */

import type { TrainingSet } from "../../data/training-set.ts";
import type { Model } from "../../models/registry.ts";
import { keptCount, keptInStacks } from "../../pruning/budget.ts";
import type { DecisionFile } from "../../pruning/decision.ts";
import { type Group, parseGroups, printGroups } from "../../pruning/groups.ts";
import { parseKept } from "../../pruning/keep-blocks.ts";
import type { CalibratedContext, Choice, PrunerContext } from "../../pruning/pruner.ts";
import { type PrunerMethod, pruners } from "../../pruning/pruners.ts";
import type { OpenedModel } from "../../weights/model-file.ts";
import { loadTrainingSet } from "../data-settings.ts";
import { weightsText } from "../model-settings.ts";
import { required } from "../settings.ts";
import { chosenProcess } from "../shared-settings.ts";
import type { TaskContext } from "../task.ts";
import { repeatable } from "../training-run.ts";
import { type CalibrationPlan, planPasses, progressHooks } from "./calibration-passes.ts";
import { budgetOf, ownValues, type PruneValues } from "./prune-settings.ts";
import { checkLayerMap, inPruneFolder, type PrunedResult, pairsOf, stacksOf, writeDecision } from "./pruned-files.ts";

/** A choice to be made: by what, of what, and for whom. */
interface Job {
  readonly method: PrunerMethod;
  readonly file: OpenedModel;
  readonly values: PruneValues;
  readonly context: TaskContext;
}

/** What a choice leaves in `decision.json` besides itself. */
type Measured = Pick<DecisionFile, "calibration">;

/** Chooses blocks without learning and writes the shallow model. @throws the signal's reason, having written nothing. */
export async function pruneScored(job: Job): Promise<PrunedResult> {
  const { method, file, values, context } = job;
  const chosen = contextOf(job);
  const pruner = pruners[method];
  if (pruner.needs === "nothing") {
    const choice = pruner.choose(chosen);
    pairsOf(values.layerMap, file.model, choice.kept, namedGroups(job, chosen.groups));
    return inFolder(job, chosen, {}, async () => choice);
  }
  checkLayerMap(values.layerMap, chosen.groups, stacksOf(file.model));
  const data = await loadTrainingSet(values, file.model.config, context, file);
  try {
    const measuring = measuringContext(job, chosen, data);
    const { process, seed, examples } = measuring.calibration;
    const calibration = { examples, seed, dataSha256: data.sha256, process };
    return await inFolder(job, chosen, { calibration }, () =>
      pruner.choose({ ...measuring, hooks: progressHooks(pruner, measuring, context) }),
    );
  } finally {
    await data.release?.();
  }
}

/** What choosing without learning keeps, or how many blocks it will keep and what that costs. */
export interface ChoicePlan {
  readonly out: string | undefined;
  readonly method: PrunerMethod;
  readonly model: Model;
  /** The choice, of a method that measures nothing. */
  readonly kept?: readonly number[];
  /** Blocks that will be kept, as groups or for each stack. */
  readonly keptCount: number;
  readonly budget: string;
  /** Passes over the calibration set, for a method that measures. */
  readonly passes?: CalibrationPlan;
}

/** The plan of `pruneScored`; writes nothing. @throws the signal's reason. */
export async function planScored(job: Job): Promise<ChoicePlan> {
  const { method, file, values, context } = job;
  const chosen = contextOf(job);
  const pruner = pruners[method];
  const { groups } = chosen;
  const stacks = stacksOf(file.model);
  const budget = values.keep === undefined ? printGroups(groups) : keptInStacks(groups, stacks).join(" + ");
  const plan = { out: values.out, method, model: file.model, keptCount: keptCount(groups), budget };
  if (pruner.needs === "nothing") {
    const { kept } = pruner.choose(chosen);
    pairsOf(values.layerMap, file.model, kept, namedGroups(job, groups));
    return { ...plan, kept, keptCount: kept.length };
  }
  checkLayerMap(values.layerMap, groups, stacks);
  const data = await loadTrainingSet({ ...values, writes: false }, file.model.config, context, file);
  try {
    return { ...plan, passes: await planPasses(pruner, measuringContext(job, chosen, data)) };
  } finally {
    await data.release?.();
  }
}

function contextOf({ method, file: { model }, values }: Job): PrunerContext {
  const stacks = stacksOf(model);
  const isNamed = method === "indices";
  const { seed, bi: influenceInputs, candidates, lossThreshold } = values;
  return {
    model,
    groups: isNamed ? [] : (budgetOf(values, stacks) ?? parseGroups(values.groups, stacks)),
    settings: {
      seed,
      influenceInputs,
      candidates,
      lossThreshold,
      protectLast: protectsLast(values),
      ...(isNamed && { kept: parseKept(values.blocks!, model.config.depth) }),
    },
  };
}

/** The original script never removes the last block. */
const protectsLast = ({ protectLast, bi }: PruneValues): boolean =>
  (protectLast ?? (bi === "clean-latents" ? "on" : "off")) === "on";

/** The groups that the file is to name: those of a plain budget have no name. */
const namedGroups = ({ method, values }: Job, groups: readonly Group[]): readonly Group[] | undefined =>
  method === "indices" || values.keep !== undefined ? undefined : groups;

function measuringContext({ file, values, context }: Job, chosen: PrunerContext, data: TrainingSet): CalibratedContext {
  const { seed, calibration: examples, microBatch } = values;
  const process = chosenProcess(values, file.model, file);
  return {
    ...chosen,
    engine: context.engine(),
    weights: file.tensors,
    data,
    calibration: { seed, examples, process, ...(microBatch !== undefined && { microBatch }) },
    hooks: { signal: context.signal },
  };
}

/** What the method was told, as far as it reads it. */
function settingsOf({ method, values }: Job): Record<string, unknown> {
  const { layerMap: _, threads: __, device: ___, ...own } = repeatable(ownValues(method, values));
  return method === "shortgpt" ? { ...own, protectLast: protectsLast(values) ? "on" : "off" } : own;
}

/** Chooses and writes in the run folder. */
function inFolder(
  job: Job,
  { groups }: PrunerContext,
  measured: Measured,
  choose: () => Promise<Choice>,
): Promise<PrunedResult> {
  const { method, file, values, context } = job;
  const { calibration } = measured;
  const prunedFrom = {
    command: "prune",
    values: { ...(method !== "indices" && { method }), ...ownValues(method, values) }, // `blocks` implies the method
    parent: file,
    data: calibration && { sha256: calibration.dataSha256 },
  };
  return inPruneFolder(required("out", values.out), prunedFrom, context, async (folder) => {
    const started = performance.now();
    const { kept, ...scores } = await choose();
    const seconds = Math.round(performance.now() - started) / 1000;
    const named = namedGroups(job, groups);
    const decision: DecisionFile = {
      method,
      depth: file.model.config.depth,
      kept,
      ...(named && { groups: printGroups(named) }),
      ...(values.keep !== undefined && { budget: keptInStacks(groups, stacksOf(file.model)) }),
      settings: settingsOf(job),
      ...scores,
      ...measured,
      seconds,
    };
    if (file.stateDicts.length > 1) context.note(`pruned are ${weightsText(file)}`);
    return writeDecision(folder.path, file, decision, values.layerMap);
  });
}
