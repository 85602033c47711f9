/** `tinyfusion prune` by every method that does not learn: choose, then write, or leave nothing behind. */
import type { TrainingSet } from "../../data/training-set.ts";
import { cpuEngine } from "../../engine/onnx/node-engine.ts";
import { keptCount, keptInStacks } from "../../pruning/budget.ts";
import type { DecisionFile } from "../../pruning/decision.ts";
import { type Group, parseGroups, printGroups } from "../../pruning/groups.ts";
import { parseKept } from "../../pruning/keep-blocks.ts";
import type { CalibratedContext, Choice, MeasuringPruner, PrunerContext } from "../../pruning/pruner.ts";
import { type PrunerMethod, pruners } from "../../pruning/pruners.ts";
import { modelText, weightsText } from "../../tasks/model-settings.ts";
import { required } from "../../tasks/settings.ts";
import { chosenProcess } from "../../tasks/shared-settings.ts";
import type { OpenedModel } from "../../weights/model-file.ts";
import { type CommandContext, STOPPED, unlessStopped } from "../command.ts";
import { loadTrainingSet } from "../data-options.ts";
import { repeatable } from "../run-task.ts";
import { tableLines } from "../table.ts";
import { inPruneFolder } from "./folder.ts";
import { budgetOf, ownValues, type PruneValues } from "./options.ts";
import { checkLayerMap, pairsOf, stacksOf, writeDecision } from "./output.ts";
import { planRows, progressHooks } from "./passes.ts";

/** A choice to be made: by what, of what, and for whom. */
interface Job {
  readonly method: PrunerMethod;
  readonly file: OpenedModel;
  readonly values: PruneValues;
  readonly context: CommandContext;
}

/** What a choice leaves in `decision.json` besides itself. */
type Measured = Pick<DecisionFile, "calibration">;

/** Chooses blocks without learning, or prints the plan; returns the exit code. */
export async function pruneChosen(job: Job): Promise<number> {
  const { method, file, values, context } = job;
  const chosen = contextOf(job);
  const pruner = pruners[method];
  if (pruner.needs === "nothing") {
    const choice = pruner.choose(chosen);
    pairsOf(values.layerMap, file.model, choice.kept, namedGroups(job, chosen.groups));
    if (values.dryRun) return printKept(choice, job);
    return inFolder(job, chosen, {}, async () => choice);
  }
  checkLayerMap(values.layerMap, chosen.groups, stacksOf(file.model));
  const data = await loadTrainingSet(values, file.model.config, context, file);
  try {
    const measuring = measuringContext(job, chosen, data);
    if (values.dryRun) return await printPlan(job, pruner, measuring);
    const { process, seed, examples } = measuring.calibration;
    const calibration = { examples, seed, dataSha256: data.sha256, process };
    return await inFolder(job, chosen, { calibration }, () =>
      pruner.choose({ ...measuring, hooks: progressHooks(pruner, measuring, context) }),
    );
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
      ...{ seed, influenceInputs, candidates, lossThreshold },
      protectLast: protectsLast(values),
      ...(isNamed && { kept: parseKept(values.kept!, model.config.depth) }),
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
    engine: cpuEngine({ threads: values.threads }),
    weights: file.tensors,
    data,
    calibration: { seed, examples, process, ...(microBatch !== undefined && { microBatch }) },
    hooks: { signal: context.signal },
  };
}

/** What the method was told, as far as it reads it. */
function settingsOf({ method, values }: Job): Record<string, unknown> {
  const { layerMap: _, threads: __, ...own } = repeatable(ownValues(method, values));
  return method === "shortgpt" ? { ...own, protectLast: protectsLast(values) ? "on" : "off" } : own;
}

/** Chooses and writes in the run folder. */
function inFolder(
  job: Job,
  { groups }: PrunerContext,
  measured: Measured,
  choose: () => Promise<Choice>,
): Promise<number> {
  const { method, file, values, context } = job;
  const { depth } = file.model.config;
  const { calibration } = measured;
  const prunedFrom = {
    command: "prune",
    values: { ...(method !== "indices" && { method }), ...ownValues(method, values) }, // who names blocks need not name it
    parent: file,
    data: calibration && { sha256: calibration.dataSha256 },
  };
  return inPruneFolder(required("out", values.out), prunedFrom, context, async (folder) => {
    const started = performance.now();
    const choice = await unlessStopped(context, choose);
    if (!choice) return STOPPED;
    const seconds = Math.round(performance.now() - started) / 1000;
    const named = namedGroups(job, groups);
    const decision: DecisionFile = {
      ...{ method, depth, kept: choice.kept },
      ...(named && { groups: printGroups(named) }),
      ...(values.keep !== undefined && { budget: keptInStacks(groups, stacksOf(file.model)) }),
      settings: settingsOf(job),
      ...choice,
      ...measured,
      seconds,
    };
    if (file.stateDicts.length > 1) context.note(`pruned are ${weightsText(file)}`);
    for (const line of await writeDecision(folder.path, file, decision, values.layerMap)) context.print(line);
    return 0;
  });
}

function printKept({ kept }: Choice, { method, file, context }: Job): number {
  const { depth } = file.model.config;
  const how = method === "indices" ? "learns nothing" : `by the method ${method}, learns nothing`;
  context.print(`prune: keeps ${kept.length} of ${depth} blocks (${kept.join(",")}), ${how}; nothing is written`);
  return 0;
}

async function printPlan(
  { method, file: { model }, values, context }: Job,
  pruner: MeasuringPruner,
  measuring: CalibratedContext,
): Promise<number> {
  const { groups } = measuring;
  const budget = values.keep === undefined ? printGroups(groups) : keptInStacks(groups, stacksOf(model)).join(" + ");
  const rows = await unlessStopped(context, () => planRows(pruner, measuring));
  if (!rows) return STOPPED;
  context.print("prune: the plan; nothing is written");
  const all: [string, string][] = [
    ["folder", values.out ?? "none given; a run needs --out"],
    ["method", `${method}: ${pruner.summary}`],
    ["model", modelText(model)],
    ["kept", `${keptCount(groups)} of ${model.config.depth} blocks, ${budget}`],
    ...rows,
  ];
  for (const line of tableLines(all)) context.print(`  ${line}`);
  return 0;
}
