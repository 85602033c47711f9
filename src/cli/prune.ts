/** `tinyfusion prune`: learn which blocks to keep, or keep named ones, and write the shallow model. */
import { join } from "node:path";
import type { LayerMap } from "../models/layer-pairs.ts";
import type { Model } from "../models/registry.ts";
import { type DecisionFile, learnedDecision } from "../pruning/decision.ts";
import { gateCount, gateGroups } from "../pruning/gates.ts";
import { type Group, parseGroups, type Stacks, stackRanges } from "../pruning/groups.ts";
import { parseKept, savePruned } from "../pruning/keep-blocks.ts";
import { layerMap, layerMapRules, parseLayerMap } from "../pruning/layer-map.ts";
import { type LearnedMasks, type LearnSettings, learnMasks } from "../pruning/learn.ts";
import { writeAtomically } from "../storage/atomic-write.ts";
import { adamWDefaults } from "../training/adamw.ts";
import { mergeLora } from "../training/lora-merge.ts";
import type { LearningRate } from "../training/rates.ts";
import { RunFolder } from "../training/run-folder.ts";
import type { ModelFile } from "../weights/model-file.ts";
import { readWeights, type Weight } from "../weights/placed-weights.ts";
import { command } from "./command.ts";
import { dataOptions, loadTrainingSet } from "./data-options.ts";
import { fileModelOptions, modelText, openNamedModel } from "./model-options.ts";
import { type OptionTable, refuseIgnored, required, UsageError, type Values } from "./option.ts";
import { repeatable, runTask } from "./run-task.ts";
import { chosenProcess, diffusionOptions, loopOptions, microBatchOf, optimizerOptions } from "./shared-options.ts";
import { versions } from "./version.ts";

const options = {
  groups: {
    kind: "text",
    fallback: "1:2",
    help: "keep N of every M blocks, in each stack: 1:2, 2:4, 7:14, or mixed 2:4,3:4,…",
  },
  kept: { kind: "text", help: "keep these blocks (0,2,…) instead of learning which" },
  layerMap: {
    kind: "text",
    fallback: "paper",
    help: `student→teacher blocks for distillation: ${layerMapRules.join(", ")}, or pairs 0:1,1:3`,
  },
  delta: {
    kind: "choice",
    choices: ["lora", "full", "none"],
    fallback: "lora",
    help: "weight update learned with the gates",
  },
  loraRank: { kind: "integer", fallback: 8, min: 1, help: "rank of the update" },
  loraAlpha: { kind: "number", fallback: 16, min: 0, help: "the update is scaled by alpha / rank" },
  keepUpdate: { kind: "flag", help: "keep the learned update in the pruned model, instead of discarding it" },
  execution: {
    kind: "choice",
    choices: ["routed", "dense"],
    fallback: "routed",
    help: "blocks on the rows that keep them, or on all",
  },
  counterfactual: {
    kind: "number",
    fallback: 1,
    min: 0.01,
    max: 1,
    help: "share of dropped rows that run forward for the gates",
  },
  gateLr: { kind: "number", min: 0, help: "learning rate of the gates [10 × --learning-rate]" },
  gateLrSpan: {
    kind: "number",
    min: 0.01,
    max: 1,
    help: "let the gates' rate fall to 0 over this share of the run (cosine)",
  },
  gateInit: { kind: "number", fallback: 0.02, help: "where gates start" },
  tauStart: { kind: "number", fallback: 4, min: 1e-3, help: "Gumbel-softmax temperature at the first step" },
  tauEnd: { kind: "number", fallback: 0.1, min: 1e-3, help: "… and at the last" },
  scaleStart: { kind: "number", fallback: 100, min: 1e-3, help: "factor on the gates at the first step" },
  scaleEnd: { kind: "number", fallback: 100, min: 1e-3, help: "… and at the last" },
  ...fileModelOptions,
  ...dataOptions,
  ...optimizerOptions,
  emaDecay: { ...optimizerOptions.emaDecay, fallback: 0.999, help: "decay of the moving average of the gates" },
  ...diffusionOptions,
  ...loopOptions,
} as const satisfies OptionTable;

type Options = Values<typeof options>;

export const prune = command({
  name: "prune",
  summary: "Learn which blocks to keep (or keep named ones) and write the shallow model.",
  argument: "<model>",
  options,
  examples: [
    "tinyfusion prune models/digits/teacher.safetensors --groups 1:2 --steps 300 --out runs/mask",
    "tinyfusion prune models/digits/teacher.safetensors --kept 0,2,4,6,8,10,12,14,16,18,20,22,24,26 --out runs/even",
  ],
  async run(values, context, path) {
    checkTogether(values, context.given);
    const file = await openNamedModel(path!, values, context.note);
    if (values.kept !== undefined) return keepNamed(file, values, context.print);
    const { depth } = file.model.config;
    const stacks = stacksOf(file.model);
    const groups = parseGroups(values.groups, stacks);
    if (!isRule(values.layerMap)) parseLayerMap(values.layerMap, keptStacks(groups, stacks), stacks);
    const data = await loadTrainingSet(values, file.model.config, context.given);
    let learned: LearnedMasks | undefined;
    return runTask({
      command: "prune",
      values,
      facts: { parent: file.sha256, modelConfiguration: file.model.config, dataSha256: data.sha256 },
      context,
      data,
      plan: {
        examples: data.size,
        of: { model: file.model, process: chosenProcess(values, file.model, file) },
        rows: [["model", modelText(file.model)], ...groupRows(groups, depth)],
        trained: () => learned!.trainer.weights.size + gateCount(gateGroups(groups)),
        expectedRows: expectedRows(groups, values),
        // Without the insides of other blocks, the block that most rows happen to keep decides.
        ...(values.recompute && { peakRows: () => microBatchOf(values) }),
      },
      task: async (engine) => {
        learned = await learnMasks(engine, file, groups, data, learnSettings(values, file));
        return learned.learning;
      },
      finish: async (folder) => {
        const decision = learnedDecision(learned!.learning, gateGroups(groups), depth, values.steps);
        await writeAtomically(join(folder.path, "decision.json"), `${JSON.stringify(decision, null, 1)}\n`);
        return writePruned(folder.path, file, decision, values, learned);
      },
    }).finally(() => learned?.trainer.release());
  },
});

/** @throws UsageError for options that would be ignored. */
function checkTogether({ kept, execution, layerMap }: Options, given: ReadonlySet<string>): void {
  if (kept !== undefined) {
    refuseIgnored(given, "--kept", ["groups", "steps", "keepUpdate"], "named blocks are kept without learning");
    if (layerMap === "group")
      throw new UsageError(
        "--kept and --layer-map group exclude each other: named blocks have no groups; try next-kept",
      );
  }
  if (execution === "dense")
    refuseIgnored(given, "--execution dense", ["counterfactual"], "all blocks run on all rows");
}

const isRule = (text: string): text is (typeof layerMapRules)[number] => layerMapRules.some((rule) => rule === text);

const keptCount = (groups: readonly Group[]): number => groups.reduce((count, { keep }) => count + keep, 0);

const stacksOf = ({ family, config }: Model): number[] => family.stacks(config);

/** How many blocks of each stack the groups keep. */
const keptStacks = (groups: readonly Group[], stacks: Stacks): number[] =>
  stackRanges(stacks).map((stack) =>
    keptCount(groups.filter(({ start }) => start >= stack.start && start < stack.end)),
  );

/** Keeps the blocks of `--kept`: nothing is learned, so there is no data and no step. */
async function keepNamed(file: ModelFile, values: Options, print: (line: string) => void): Promise<number> {
  const { depth } = file.model.config;
  const kept = parseKept(values.kept!, depth);
  if (!isRule(values.layerMap)) namedPairs(file.model, kept, values.layerMap);
  const decision: DecisionFile = { method: "indices", depth, kept };
  if (values.dryRun) {
    print(`prune: keeps ${kept.length} of ${depth} blocks (${kept.join(",")}), learns nothing; nothing is written`);
    return 0;
  }
  const folder = RunFolder.open(required("out", values.out));
  try {
    const { layerMap, keepUpdate: _, ...settings } = repeatable(values);
    await folder.claim({ command: "prune", kept: settings.kept, layerMap, parent: file.sha256, versions: versions() });
    await writeAtomically(join(folder.path, "decision.json"), `${JSON.stringify(decision, null, 1)}\n`);
    for (const line of await writePruned(folder.path, file, decision, values)) print(line);
    return 0;
  } finally {
    folder.close();
  }
}

/** Explicit pairs between the model and what is kept of it. */
const namedPairs = (teacher: Model, kept: readonly number[], text: string): LayerMap =>
  parseLayerMap(text, stacksOf({ ...teacher, config: teacher.family.keep(teacher.config, kept) }), stacksOf(teacher));

/** What the groups mean, for the plan. */
function groupRows(groups: readonly Group[], depth: number): [string, string][] {
  const patterns = new Map<string, { count: number; options: number }>();
  for (const { keep, size, options } of gateGroups(groups)) {
    const { count = 0 } = patterns.get(`${keep}:${size}`) ?? {};
    patterns.set(`${keep}:${size}`, { count: count + 1, options: options.length });
  }
  const texts = Array.from(
    patterns,
    ([name, { count, options }]) => `${count} of ${name} with ${options} options each`,
  );
  return [
    ["groups", `${texts.join(", ")}; ${gateCount(gateGroups(groups))} gates`],
    ["kept", `${keptCount(groups)} of ${depth} blocks`],
  ];
}

/** How many rows of a micro-batch keep, drop or probe block i, on average before anything is learned. */
function expectedRows(groups: readonly Group[], values: Options): (name: string) => number {
  const rows = microBatchOf(values);
  return (name) => {
    const [kind, block] = [name.split(".")[0], Number(name.split(".")[1])];
    const { keep, size } = groups.find(({ start, size }) => block >= start && block < start + size)!;
    const kept = (rows * keep) / size;
    return Math.ceil(kind === "kept" ? kept : (rows - kept) * (kind === "probe" ? values.counterfactual : 1));
  };
}

async function writePruned(
  out: string,
  file: ModelFile,
  { kept, depth, groups: written, averaged, flips }: DecisionFile,
  values: Options,
  learned?: LearnedMasks,
): Promise<string[]> {
  const stacks = stacksOf(file.model);
  const groups = written === undefined ? undefined : parseGroups(written, stacks);
  const map = isRule(values.layerMap)
    ? layerMap(values.layerMap, stacks, kept, groups)
    : namedPairs(file.model, kept, values.layerMap);
  const path = join(out, "pruned.safetensors");
  const weights = learned && values.keepUpdate ? await updatedWeights(file, values, learned) : undefined;
  await savePruned(path, file, { kept, ...(groups && { groups }), layerMap: map }, weights);
  const sure = averaged?.confidence.map((p) => p.toFixed(2)).join(" ");
  return [
    `kept ${kept.join(",")} of ${depth}`,
    ...(sure
      ? [`confidence per group ${sure}; ${flips?.length ?? 0} flips, the last after step ${flips?.at(-1) ?? 0}`]
      : []),
    path,
  ];
}

/** The gates follow the schedule of the weights, unless their own span is given: short runs must stop deciding in time. */
function gateRate(base: number, span: number | undefined, rate: (base: number) => LearningRate): LearningRate {
  return span === undefined ? rate(base) : { base, kind: "cosine", final: 0, warmupSteps: 0, span };
}

async function updatedWeights(file: ModelFile, values: Options, { trainer }: LearnedMasks) {
  const update = trainer.weights.arrays;
  if (values.delta !== "lora") return new Map<string, Weight>([...file.tensors, ...update]);
  return mergeLora(await readWeights(file.tensors), update, { rank: values.loraRank, alpha: values.loraAlpha });
}

function learnSettings(values: Options, file: ModelFile): LearnSettings {
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
    gateLearningRate: gateRate(values.gateLr ?? 10 * values.learningRate, values.gateLrSpan, rate),
    emaWarmup: values.emaWarmup === "on",
    tau: [values.tauStart, values.tauEnd],
    scale: [values.scaleStart, values.scaleEnd],
    lora: { rank: values.loraRank, alpha: values.loraAlpha },
    adamw: { ...adamWDefaults, weightDecay: values.weightDecay },
  };
}
