/** The method `learned`: gates and a weight update learned together, in a run that can be resumed. */

import type { Weight } from "../../engine/engine.ts";
import { keptCount } from "../../pruning/budget.ts";
import { type DecisionFile, learnedDecision } from "../../pruning/decision.ts";
import { gateCount, gateGroups } from "../../pruning/draw-mask.ts";
import { type Group, parseGroups } from "../../pruning/groups.ts";
import { type LearnedMasks, type LearnSettings, learnMasks } from "../../pruning/learn.ts";
import { maskSchedules } from "../../pruning/mask-learning.ts";
import { adamWDefaults } from "../../training/adamw.ts";
import { mergeLora } from "../../training/lora.ts";
import type { LearningRate } from "../../training/rates.ts";
import type { ModelFile, OpenedModel } from "../../weights/model-file.ts";
import { readWeights } from "../../weights/read-weights.ts";
import { loadTrainingSet } from "../data-settings.ts";
import { modelText, weightsText } from "../model-settings.ts";
import { SettingError } from "../settings.ts";
import { chosenProcess, microBatchOf } from "../shared-settings.ts";
import type { TaskContext } from "../task.ts";
import { checkLearning, repeatable, type TrainingJob } from "../training-run.ts";
import { ownValues, type PruneValues } from "./prune-settings.ts";
import { checkLayerMap, type PrunedResult, stacksOf, writeDecision } from "./pruned-files.ts";

/** Masks learned in the run folder, as a job to run or to plan. */
export async function learningJob(
  file: OpenedModel,
  values: PruneValues,
  context: TaskContext,
  writes: boolean,
): Promise<TrainingJob<PrunedResult>> {
  checkLearning(values, context);
  if (values.learningRate === 0 && values.gateLr === undefined)
    throw new SettingError(
      "`learningRate` 0 learns nothing: `gateLr` is 10 × `learningRate` by default; give `gateLr`, or another `learningRate`",
    );
  const { depth } = file.model.config;
  const stacks = stacksOf(file.model);
  const groups = parseGroups(values.groups, stacks);
  checkLayerMap(values.layerMap, groups, stacks);
  const data = await loadTrainingSet({ ...values, writes }, file.model.config, context, file);
  let learned: LearnedMasks | undefined;
  return {
    command: "prune",
    // Options of other methods are no settings of this run.
    values: ownValues("learned", values) as PruneValues,
    facts: { parent: file.sha256, modelConfiguration: file.model.config, dataSha256: data.sha256 },
    context,
    data,
    planned: {
      examples: data.size,
      of: { model: file.model, process: chosenProcess(values, file.model, file) },
      rows: [["model", modelText(file.model)], ...groupRows(groups, depth)],
      trained: () => learned!.trainer.size + gateCount(gateGroups(groups)),
      expectedRows: expectedRows(groups, values),
      // Without the insides of other blocks, the block that most rows happen to keep decides.
      ...(values.recompute && { peakRows: () => microBatchOf(values) }),
    },
    task: async (engine, plan) => {
      learned = await learnMasks(engine, file, groups, data, { ...learnSettings(values, file), ...plan });
      return learned.learning;
    },
    start: weightsText(file),
    schedules: (plan, k) => maskSchedules({ ...learnSettings(values, file), ...plan }, k),
    finish: async (folder) => {
      const decision: DecisionFile = {
        ...learnedDecision(learned!.learning, gateGroups(groups), depth, values.steps),
        settings: repeatable(ownValues("learned", values)),
      };
      const weights = values.keepUpdate ? await updatedWeights(file, values, learned!) : undefined;
      return writeDecision(folder.path, file, decision, values.layerMap, weights);
    },
    release: async () => learned?.trainer.release(),
  };
}

/** What the groups mean, for the plan. */
function groupRows(groups: readonly Group[], depth: number): [string, string][] {
  const ratios = new Map<string, { count: number; patterns: number }>();
  for (const { keep, size, patterns } of gateGroups(groups)) {
    const { count = 0 } = ratios.get(`${keep}:${size}`) ?? {};
    ratios.set(`${keep}:${size}`, { count: count + 1, patterns: patterns.length });
  }
  const texts = Array.from(
    ratios,
    ([name, { count, patterns }]) => `${count} of ${name} with ${patterns} patterns each`,
  );
  return [
    ["groups", `${texts.join(", ")}; ${gateCount(gateGroups(groups))} gates`],
    ["kept", `${keptCount(groups)} of ${depth} blocks`],
  ];
}

/** How many rows of a micro-batch keep, drop or probe block i, on average before anything is learned. */
function expectedRows(groups: readonly Group[], values: PruneValues): (name: string) => number {
  const rows = microBatchOf(values);
  return (name) => {
    const [kind, block] = [name.split(".")[0], Number(name.split(".")[1])];
    const { keep, size } = groups.find(({ start, size }) => block >= start && block < start + size)!;
    const kept = (rows * keep) / size;
    return Math.ceil(kind === "kept" ? kept : (rows - kept) * (kind === "probe" ? values.counterfactual : 1));
  };
}

/** The gates follow the schedule of the weights, unless they have a span or a rise of their own. */
function gateRate(values: PruneValues, rate: (base: number) => LearningRate): LearningRate {
  const { gateLr = 10 * values.learningRate, gateLrSpan: span, gateLrWarmup } = values;
  const own: LearningRate =
    span === undefined ? rate(gateLr) : { base: gateLr, kind: "cosine", final: 0, warmupSteps: 0, span };
  return { ...own, warmupSteps: gateLrWarmup ?? own.warmupSteps };
}

async function updatedWeights(file: ModelFile, values: PruneValues, { trainer }: LearnedMasks) {
  const update = await trainer.read("weights");
  if (values.delta !== "lora") return new Map<string, Weight>([...file.tensors, ...update]);
  return mergeLora(await readWeights(file.tensors), update, { rank: values.loraRank, alpha: values.loraAlpha });
}

function learnSettings(values: PruneValues, file: ModelFile): LearnSettings {
  const rate = (base: number) => ({
    base,
    kind: values.lrSchedule,
    final: (values.finalLr * base) / (values.learningRate || 1),
    warmupSteps: values.warmupSteps,
  });
  return {
    ...values,
    process: chosenProcess(values, file.model, file),
    microBatch: microBatchOf(values),
    learningRate: rate(values.learningRate),
    gateLearningRate: gateRate(values, rate),
    emaWarmup: values.emaWarmup === "on",
    tau: [values.tauStart, values.tauEnd],
    scale: [values.scaleStart, values.scaleEnd],
    lora: { rank: values.loraRank, alpha: values.loraAlpha },
    adamw: { ...adamWDefaults, weightDecay: values.weightDecay },
  };
}
