/** Removes the least important heads and MLP channels of each block (Diff-Pruning). */
import { join } from "node:path";
import type { TrainingSet } from "../../data/training-set.ts";
import { type ModelCost, modelCost } from "../../evaluation/speed/model-cost.ts";
import {
  type PrunableModel,
  requirePrunableModel,
  type Widths,
  widthsOf,
  withWidths,
} from "../../pruning/width/channel-groups.ts";
import { gradientsOf, widthCriteria } from "../../pruning/width/importance.ts";
import { decideWidths, keptOfFraction, savePrunedWidths, type WidthDecision } from "../../pruning/width/prune-width.ts";
import type { GradientHooks } from "../../pruning/width/timestep-gradients.ts";
import { writeAtomically } from "../../storage/atomic-write.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import { dataSettings, loadTrainingSet } from "../data-settings.ts";
import { fileModelSettings, openNamedModel, weightsText } from "../model-settings.ts";
import { refuseIgnored, required, SettingError, type SettingTable, type Values } from "../settings.ts";
import { chosenProcess, engineSettings, microBatchOf, processSettings, seedSetting } from "../shared-settings.ts";
import { startTask, type TaskContext, type TaskSettings } from "../task.ts";
import { inPruneFolder } from "./pruned-files.ts";

export const pruneWidthSettings = {
  file: { kind: "weights", help: "DiT or SiT to prune" },
  heads: { kind: "number", fallback: 0.5, min: 0, max: 1, help: "fraction of the heads of each block that stay" },
  mlp: { kind: "number", fallback: 0.5, min: 0, max: 1, help: "fraction of the MLP channels of each block that stay" },
  criterion: {
    kind: "choice",
    choices: widthCriteria,
    fallback: "diff-pruning",
    help: "importance: |weight × gradient|, |weight|, or random",
  },
  examples: { kind: "integer", fallback: 128, min: 1, help: "images for the gradients" },
  timesteps: {
    kind: "integer",
    fallback: 100,
    min: 1,
    max: 100_000,
    help: "number of evenly spaced timesteps for the gradients",
  },
  threshold: {
    kind: "number",
    fallback: 0.05,
    min: 0,
    max: 0.999,
    help: "diff-pruning: smallest counted loss, relative to the largest",
  },
  microBatch: { kind: "integer", fallback: 32, min: 1, help: "images of one forward and backward pass" },
  out: { kind: "folder", help: "run folder: widths.json and pruned.safetensors" },
  seed: seedSetting,
  ...engineSettings,
  ...fileModelSettings,
  ...dataSettings,
  ...processSettings,
} as const satisfies SettingTable;

type PruneWidthValues = Values<typeof pruneWidthSettings>;

/** Heads and MLP channels of each block, and what the model costs. */
export interface WidthCost extends Widths, Pick<ModelCost, "parameters" | "macs"> {}

export interface PruneWidthPlan {
  readonly before: WidthCost;
  readonly after: WidthCost;
}

export interface PrunedWidths extends PruneWidthPlan {
  readonly decision: WidthDecision;
  /** Path of `pruned.safetensors`. */
  readonly pruned: string;
}

/**
 * Removes the least important heads and MLP channels of each block of `file` (Diff-Pruning, Fang et al. 2023) and writes
 * `widths.json` and `pruned.safetensors` to `out`.
 * @throws SettingError, InputError for settings, a model, data or a folder that do not fit; the signal's reason.
 */
export async function pruneWidth(settings: TaskSettings<typeof pruneWidthSettings>): Promise<PrunedWidths> {
  const { file, keep, plan, values, context } = await openWidths(settings);
  const out = required("out", values.out);
  const isMeasuring = gradientsOf(values.criterion) !== "none";
  const data = isMeasuring ? await loadTrainingSet(values, file.model.config, context, file) : undefined;
  const { file: _, ...stored } = values;
  try {
    return await inPruneFolder(
      out,
      { command: "prune-width", values: stored, parent: file, data },
      context,
      async () => {
        const decision = await decide(file, keep, data, values, context);
        if (file.stateDicts.length > 1) context.note(`pruned are ${weightsText(file)}`);
        await writeAtomically(join(out, "widths.json"), `${JSON.stringify(decision)}\n`);
        const pruned = join(out, "pruned.safetensors");
        await savePrunedWidths(pruned, file, decision);
        return { ...plan, decision, pruned };
      },
    );
  } finally {
    await data?.release?.();
  }
}

/** What `pruneWidth` would leave; writes nothing. */
export async function planPruneWidth(settings: TaskSettings<typeof pruneWidthSettings>): Promise<PruneWidthPlan> {
  return (await openWidths(settings)).plan;
}

async function openWidths(settings: TaskSettings<typeof pruneWidthSettings>) {
  const { values, context } = await startTask(pruneWidthSettings, settings);
  refuseMeaningless(values, context.given);
  const file = await openNamedModel(required("file", values.file), values, context.note);
  const model = requirePrunableModel(file.model, file.path);
  const keep = keptWidths(values, widthsOf(model));
  const plan: PruneWidthPlan = { before: costOf(model), after: costOf(withWidths(model, keep)) };
  return { file, keep, plan, values, context };
}

function costOf(model: PrunableModel): WidthCost {
  const { parameters, macs } = modelCost(model);
  return { ...widthsOf(model), parameters, macs };
}

/** @throws SettingError for options that would be ignored. */
function refuseMeaningless({ criterion }: PruneWidthValues, given: ReadonlySet<string>): void {
  const needed = gradientsOf(criterion);
  const calibrating = [
    "examples",
    "timesteps",
    "microBatch",
    ...Object.keys(dataSettings),
    ...Object.keys(processSettings),
  ];
  if (needed === "none") {
    refuseIgnored(given, `\`criterion\` ${criterion}`, [...calibrating, "threshold"], "it computes no gradient");
  }
  if (needed === "every")
    refuseIgnored(given, `\`criterion\` ${criterion}`, ["threshold"], "it sums over all timesteps");
}

/** @throws SettingError if nothing would be removed. */
function keptWidths(values: PruneWidthValues, { heads, channels }: Widths): Widths {
  const keep = { heads: keptOfFraction(heads, values.heads), channels: keptOfFraction(channels, values.mlp) };
  if (keep.heads < heads || keep.channels < channels) return keep;
  throw new SettingError(
    `\`heads\` ${values.heads} \`mlp\` ${values.mlp} keep all ${heads} heads and ${channels} MLP channels of each block; give smaller fractions`,
  );
}

function decide(
  file: ModelFile,
  keep: Widths,
  data: TrainingSet | undefined,
  values: PruneWidthValues,
  context: TaskContext,
): Promise<WidthDecision> {
  const { criterion, seed, examples, timesteps, threshold } = values;
  const settings = { criterion, keep, seed };
  if (!data) return decideWidths(file, settings);
  return decideWidths(file, settings, {
    engine: context.engine(),
    data,
    settings: {
      process: chosenProcess(values, file.model, file),
      microBatch: microBatchOf({ microBatch: values.microBatch, batchSize: examples }),
      examples,
      timesteps,
      threshold,
    },
    hooks: { signal: context.signal, onRun: progressOf(context, values) },
  });
}

/** Runs of the graph as steps, with the time that is left at the pace so far; so many lines in all. */
const PROGRESS_LINES = 20;

function progressOf(context: TaskContext, { microBatch }: PruneWidthValues): NonNullable<GradientHooks["onRun"]> {
  const start = performance.now();
  return (done, all) => {
    if (done % Math.ceil(all / PROGRESS_LINES) !== 0 && done !== all) return;
    const secondsLeft = ((performance.now() - start) / 1000 / done) * (all - done);
    context.progress({ step: done, steps: all, images: done * microBatch, secondsLeft, line: {} });
  };
}
