/** `tinyfusion prune-width`: remove the least important heads and MLP channels of each block (Diff-Pruning). */
import { join } from "node:path";
import type { TrainingSet } from "../../data/training-set.ts";
import { cpuEngine } from "../../engine/onnx/node-engine.ts";
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
import { fileModelSettings, openNamedModel, weightsText } from "../../tasks/model-settings.ts";
import { refuseIgnored, required, SettingError, type SettingTable, type Values } from "../../tasks/settings.ts";
import {
  chosenProcess,
  microBatchOf,
  processSettings,
  seedSetting,
  threadsSetting,
} from "../../tasks/shared-settings.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import { type CommandContext, command, STOPPED, unlessStopped } from "../command.ts";
import { dataOptions, loadTrainingSet } from "../data-options.ts";
import { grouped, tableLines } from "../table.ts";
import { inPruneFolder } from "./folder.ts";

const options = {
  heads: { kind: "number", fallback: 0.5, min: 0, max: 1, help: "share of the heads of each block that stay" },
  mlp: { kind: "number", fallback: 0.5, min: 0, max: 1, help: "share of the MLP channels of each block that stay" },
  criterion: {
    kind: "choice",
    choices: widthCriteria,
    fallback: "diff-pruning",
    help: "what stays: sums of |weight × gradient| over informative timesteps, or |sums| over all, or large weights, or lots",
  },
  examples: { kind: "integer", fallback: 128, min: 1, help: "images that gradients are computed on" },
  timesteps: {
    kind: "integer",
    fallback: 100,
    min: 1,
    max: 100_000,
    help: "timesteps, evenly spread; the original takes all 1000",
  },
  threshold: {
    kind: "number",
    fallback: 0.05,
    min: 0,
    max: 0.999,
    help: "diff-pruning: timesteps with at most this share of the largest loss are left out",
  },
  microBatch: { kind: "integer", fallback: 32, min: 1, help: "images of one run of the graph (at least 2 rows)" },
  out: { kind: "folder", help: "run folder: widths.json and pruned.safetensors" },
  dryRun: { kind: "flag", help: "print widths, parameters and arithmetic and stop; writes nothing" },
  seed: seedSetting,
  threads: threadsSetting,
  ...fileModelSettings,
  ...dataOptions,
  ...processSettings,
} as const satisfies SettingTable;

type Options = Values<typeof options>;

export const pruneWidth = command({
  name: "prune-width",
  summary: "Remove heads and MLP channels of every block by importance (Diff-Pruning) and write the narrow model.",
  argument: "<model>",
  options,
  examples: [
    "tinyfusion prune-width models/digits/teacher.safetensors --heads 0.5 --mlp 0.5 --out runs/narrow",
    "tinyfusion prune-width models/digits/sit-teacher.safetensors --criterion magnitude --out runs/narrow-sit",
    "tinyfusion prune-width DiT-XL-2-256x256.pt --model DiT-XL/2 --dry-run",
  ],
  async run(values, context, path) {
    refuseMeaningless(values, context.given);
    const file = await openNamedModel(path!, values, context.note);
    const wide = requirePrunableModel(file.model, file.path);
    const keep = keptWidths(values, widthsOf(wide));
    const costs = costLines(wide, withWidths(wide, keep));
    if (values.dryRun) {
      for (const line of costs) context.print(line);
      return 0;
    }
    const out = required("out", values.out);
    const isMeasuring = gradientsOf(values.criterion) !== "none";
    const data = isMeasuring ? await loadTrainingSet(values, file.model.config, context, file) : undefined;
    try {
      return await inPruneFolder(out, { command: "prune-width", values, parent: file, data }, context, async () => {
        const decision = await unlessStopped(context, () => decide(file, keep, data, values, context));
        if (!decision) return STOPPED;
        if (file.stateDicts.length > 1) context.note(`pruned are ${weightsText(file)}`);
        for (const line of [...costs, ...(await writePruned(out, file, decision))]) context.print(line);
        return 0;
      });
    } finally {
      await data?.release?.();
    }
  },
});

/** @throws SettingError for options that would be ignored. */
function refuseMeaningless({ criterion }: Options, given: ReadonlySet<string>): void {
  const needed = gradientsOf(criterion);
  const calibrating = [
    "examples",
    "timesteps",
    "microBatch",
    ...Object.keys(dataOptions),
    ...Object.keys(processSettings),
  ];
  if (needed === "none") {
    refuseIgnored(given, `--criterion ${criterion}`, [...calibrating, "threshold"], "it computes no gradient");
  }
  if (needed === "every") refuseIgnored(given, `--criterion ${criterion}`, ["threshold"], "it sums over all timesteps");
}

/** @throws SettingError if nothing would be removed. */
function keptWidths(values: Options, { heads, channels }: Widths): Widths {
  const keep = { heads: keptOfFraction(heads, values.heads), channels: keptOfFraction(channels, values.mlp) };
  if (keep.heads < heads || keep.channels < channels) return keep;
  throw new SettingError(
    `--heads ${values.heads} --mlp ${values.mlp} keep all ${heads} heads and ${channels} MLP channels of each block; give smaller shares`,
  );
}

/** Writes what was decided; returns what to tell. */
async function writePruned(out: string, file: ModelFile, decision: WidthDecision): Promise<string[]> {
  await writeAtomically(join(out, "widths.json"), `${JSON.stringify(decision)}\n`);
  const path = join(out, "pruned.safetensors");
  await savePrunedWidths(path, file, decision);
  const used = decision.losses.filter((step) => step.used).length;
  const summed = `gradients of ${used} of ${decision.losses.length} timesteps were summed`;
  return [...(decision.losses.length > 0 ? [summed] : []), path];
}

function decide(
  file: ModelFile,
  keep: Widths,
  data: TrainingSet | undefined,
  values: Options,
  context: CommandContext,
): Promise<WidthDecision> {
  const { criterion, seed, examples, timesteps, threshold } = values;
  const settings = { criterion, keep, seed };
  if (!data) return decideWidths(file, settings);
  return decideWidths(file, settings, {
    engine: cpuEngine({ threads: values.threads }),
    data,
    settings: {
      process: chosenProcess(values, file.model, file),
      microBatch: microBatchOf({ microBatch: values.microBatch, batchSize: examples }),
      ...{ examples, timesteps, threshold },
    },
    hooks: { signal: context.signal, onRun: progressOf(context, values) },
  });
}

/** Runs of the graph as steps, with the time that is left at the pace so far; so many lines in all. */
const PROGRESS_LINES = 20;

function progressOf(context: CommandContext, { microBatch }: Options): NonNullable<GradientHooks["onRun"]> {
  const start = performance.now();
  return (done, all) => {
    if (done % Math.ceil(all / PROGRESS_LINES) !== 0 && done !== all) return;
    const secondsLeft = ((performance.now() - start) / 1000 / done) * (all - done);
    context.progress({ step: done, steps: all, images: done * microBatch, secondsLeft, line: {} });
  };
}

/** Widths, parameters and arithmetic before and after. */
function costLines(before: PrunableModel, after: PrunableModel): string[] {
  const rows = [before, after].map((model, i) => {
    const { heads, channels } = widthsOf(model);
    const { parameters, macs }: ModelCost = modelCost(model);
    return [i === 0 ? "before" : "after", `${heads}`, `${channels}`, grouped(parameters), (macs / 1e9).toPrecision(4)];
  });
  return tableLines([["", "heads", "MLP channels", "parameters", "GMACs an evaluation"], ...rows], [1, 2, 3, 4]);
}
