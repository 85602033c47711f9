/** `tinyfusion prune`. */
import { pruners } from "../pruning/pruners.ts";
import { modelText } from "../tasks/model-settings.ts";
import { planPrune, prune } from "../tasks/prune/prune.ts";
import type { ChoicePlan } from "../tasks/prune/prune-scored.ts";
import { pruneSettings } from "../tasks/prune/prune-settings.ts";
import type { PrunedResult } from "../tasks/prune/pruned-files.ts";
import { command, dryRunFlag } from "./command.ts";
import { duration } from "./progress.ts";
import { tableLines } from "./table.ts";
import { finished, memoryText, planLines } from "./training-command.ts";

export const pruneCommand = command({
  name: "prune",
  summary: "Choose which blocks to keep (learned, scored, by rule or by name) and write the shallow model.",
  settings: pruneSettings,
  positional: ["file"],
  flags: dryRunFlag,
  examples: [
    "tinyfusion prune models/digits/teacher.safetensors --groups 1:2 --steps 300 --out runs/mask",
    "tinyfusion prune models/digits/teacher.safetensors --method shortgpt --groups 2:4 --out runs/shortgpt",
    "tinyfusion prune models/digits/teacher.safetensors --method loss-greedy --keep 14 --calibration 64 --dry-run",
    "tinyfusion prune models/digits/teacher.safetensors --method random-median --candidates 100 --seed 1 --out runs/median",
    "tinyfusion prune models/digits/teacher.safetensors --blocks 0,2,4,6,8,10,12,14,16,18,20,22,24,26 --out runs/even",
  ],
  async run(settings, { dryRun }, { note }) {
    if (dryRun) {
      const { learning, choice } = await planPrune(settings);
      return learning ? planLines("prune", learning) : choiceLines(choice);
    }
    const result = finished(await prune(settings));
    if (result.decision.method === "learned") note(memoryText());
    return prunedLines(result);
  },
});

/** The decision in a few lines, and the file. */
function prunedLines({ decision, pruned }: PrunedResult): string[] {
  const { kept, depth, averaged, flips, scores } = decision;
  const confidence = averaged?.confidence.map((p) => p.toFixed(2)).join(" ");
  return [
    `kept ${kept.join(",")} of ${depth}`,
    ...(scores ? [`score per block ${scores.map((score) => score.toPrecision(3)).join(" ")}`] : []),
    ...(confidence
      ? [`confidence per group ${confidence}; ${flips?.length ?? 0} flips, the last after step ${flips?.at(-1) ?? 0}`]
      : []),
    pruned,
  ];
}

function choiceLines({ out, method, model, kept, keptCount, budget, passes }: ChoicePlan): string[] {
  const { depth } = model.config;
  if (!passes) {
    const how = method === "indices" ? "learns nothing" : `by the method ${method}, learns nothing`;
    return [`prune: keeps ${keptCount} of ${depth} blocks (${kept?.join(",")}), ${how}; nothing is written`];
  }
  const { examples, of, seed, microBatches, microBatch, secondsPerMicroBatch: run, measured } = passes;
  const rows: [string, string][] = [
    ["folder", out ?? "none given; a run needs --out"],
    ["method", `${method}: ${pruners[method].summary}`],
    ["model", modelText(model)],
    ["kept", `${keptCount} of ${depth} blocks, ${budget}`],
    ["calibration", `${examples} of ${of} examples, seed ${seed}, ${microBatches} micro-batches of ${microBatch}`],
    ["work", `${passes.passes} ${passes.passes === 1 ? "pass" : "passes"} forward over them, or fewer`],
    [
      "time",
      `about ${duration(run * microBatches * passes.passes)}: ${measured} micro-batches measured now, ${run.toPrecision(3)} s each with all blocks`,
    ],
  ];
  return ["prune: the plan; nothing is written", ...tableLines(rows).map((line) => `  ${line}`)];
}
