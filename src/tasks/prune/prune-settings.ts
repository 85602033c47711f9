/** The settings of `prune`, which method reads which, and which exclude each other. */

import { parseBudget } from "../../pruning/budget.ts";
import { DRAWN_TOGETHER } from "../../pruning/calibration.ts";
import type { Stacks } from "../../pruning/groups.ts";
import { layerMapRules } from "../../pruning/layer-map.ts";
import { type Method, methods, pruners } from "../../pruning/pruners.ts";
import { dataSettings } from "../data-settings.ts";
import { fileModelSettings } from "../model-settings.ts";
import { quoted, refuseIgnored, SettingError, type SettingTable, type Values } from "../settings.ts";
import { diffusionSettings, loopSettings, optimizerSettings, processSettings } from "../shared-settings.ts";

const learnedSummary = "masks and a weight update learned together, the paper's way";

const methodHelp = [
  "how to choose the blocks:",
  ...methods.map((method) => `${method}: ${method === "learned" ? learnedSummary : pruners[method].summary};`),
].join("\n");

const choiceSettings = {
  file: { kind: "weights", help: "teacher to prune" },
  method: { kind: "choice", choices: methods, fallback: "learned", help: methodHelp },
  groups: {
    kind: "text",
    fallback: "1:2",
    help: "keep N of every M blocks, in each stack: 1:2, 2:4, 7:14, or mixed 2:4,3:4,…",
  },
  keep: {
    kind: "text",
    help: "keep so many blocks, wherever they are: 14, or 8,8 for two stacks; instead of `groups`",
  },
  blocks: { kind: "text", help: "blocks to keep, as 0,2,4, instead of choosing" },
  calibration: {
    kind: "integer",
    fallback: 256,
    min: 2,
    help: "examples of `data` that scores and losses are measured on",
  },
  bi: {
    kind: "choice",
    choices: ["noised", "clean-latents"],
    fallback: "noised",
    help: "shortgpt: inputs as in training, or as in the original script (no noise, timesteps below 250)",
  },
  protectLast: {
    kind: "choice",
    choices: ["on", "off"],
    help: "shortgpt: always keep the last block of each stack [on with clean-latents, as the original; else off]",
  },
  candidates: { kind: "integer", fallback: 100, min: 1, max: 100_000, help: "random masks that are compared" },
  lossThreshold: {
    kind: "number",
    fallback: 0.05,
    min: 0,
    max: 0.99,
    help: "taylor: examples whose loss is a smaller share of the largest do not count; 0 counts all",
  },
} as const satisfies SettingTable;

const layerMapSetting = {
  layerMap: {
    kind: "text",
    fallback: "paper",
    help: `student→teacher blocks for distillation: ${layerMapRules.join(", ")}, or pairs 0:1,1:3`,
  },
} as const satisfies SettingTable;

const learningSettings = {
  delta: {
    kind: "choice",
    choices: ["lora", "full", "none"],
    fallback: "lora",
    help: "weight update learned with the gates",
  },
  loraRank: { kind: "integer", fallback: 8, min: 1, help: "rank of the update" },
  loraAlpha: { kind: "number", fallback: 16, above: 0, help: "the update is scaled by alpha / rank" },
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
  gateLr: { kind: "number", above: 0, help: "learning rate of the gates [10 × `learningRate`]" },
  gateLrSpan: {
    kind: "number",
    min: 0.01,
    max: 1,
    help: "let the gates' rate fall to 0 over this share of the run (cosine)",
  },
  gateLrWarmup: {
    kind: "integer",
    min: 0,
    help: "steps in which the gates' rate rises, so that the weight update learns first [0 with `gateLrSpan`, else `warmupSteps`]",
  },
  gateInit: { kind: "number", fallback: 0.02, help: "where gates start" },
  tauStart: { kind: "number", fallback: 4, min: 1e-3, help: "Gumbel-softmax temperature at the first step" },
  tauEnd: { kind: "number", fallback: 0.1, min: 1e-3, help: "… and at the last" },
  scaleStart: { kind: "number", fallback: 100, min: 1e-3, help: "factor on the gates at the first step" },
  scaleEnd: { kind: "number", fallback: 100, min: 1e-3, help: "… and at the last" },
} as const satisfies SettingTable;

export const pruneSettings = {
  ...choiceSettings,
  ...layerMapSetting,
  ...learningSettings,
  ...fileModelSettings,
  ...dataSettings,
  ...optimizerSettings,
  emaDecay: { ...optimizerSettings.emaDecay, fallback: 0.999, help: "decay of the moving average of the gates" },
  ...diffusionSettings,
  ...loopSettings,
} as const satisfies SettingTable;

export type PruneValues = Values<typeof pruneSettings>;

type Name = keyof typeof pruneSettings;

const namesIn = (table: SettingTable): Name[] => Object.keys(table) as Name[];

/** Options of every method. */
const common: readonly Name[] = ["method", "layerMap", "file", "out", "threads", ...namesIn(fileModelSettings)];
const budget: readonly Name[] = ["groups", "keep"];
const measured: readonly Name[] = [
  ...budget,
  ...namesIn({ ...dataSettings, ...processSettings }),
  "calibration",
  "microBatch",
  "seed",
];

/** What each method reads besides. */
const own: { readonly [M in Method]: readonly Name[] } = {
  learned: [
    "groups",
    ...namesIn({ ...learningSettings, ...dataSettings, ...optimizerSettings, ...diffusionSettings, ...loopSettings }),
  ],
  shortgpt: [...measured, "bi", "protectLast"],
  "flux-lite": measured,
  sensitivity: measured,
  "loss-greedy": measured,
  taylor: [...measured, "lossThreshold"],
  oracle: budget,
  uniform: budget,
  random: [...budget, "seed"],
  "random-median": [...measured, "candidates"],
  "min-loss": [...measured, "candidates"],
  indices: ["blocks"],
};

/** The method that is meant: `blocks` names them, so that `method` need not be given. */
export const methodOf = ({ method, blocks }: PruneValues, given: ReadonlySet<string>): Method =>
  blocks !== undefined && !given.has("method") ? "indices" : method;

/** The values that a method reads, without those that say where its results go. */
export function ownValues(method: Method, values: PruneValues): Record<string, unknown> {
  const read = new Set<string>([...own[method], "layerMap", ...namesIn(fileModelSettings), "threads"]);
  const isRead = (name: string): boolean =>
    read.has(name) && !(name === "groups" && method !== "learned" && values.keep !== undefined);
  return Object.fromEntries(Object.entries(values).filter(([name]) => isRead(name)));
}

/** @throws SettingError for options that would be ignored, or of which one makes the other meaningless. */
export function checkTogether(method: Method, values: PruneValues, given: ReadonlySet<string>): void {
  refuseForeign(method, values, given);
  const { keep, blocks, layerMap, execution } = values;
  if (method === "indices" && blocks === undefined) throw new SettingError("`blocks` is required by `method` indices");
  if (keep !== undefined) refuseIgnored(given, "`keep`", ["groups"], "a plain budget has no groups");
  const without = blocks !== undefined ? "`blocks`" : keep !== undefined ? "`keep`" : undefined;
  if (without && layerMap === "group") {
    const what = blocks !== undefined ? "named blocks have" : "a plain budget has";
    throw new SettingError(`${without} and \`layerMap\` group exclude each other: ${what} no groups; try next-kept`);
  }
  if (execution === "dense")
    refuseIgnored(given, "`execution` dense", ["counterfactual"], "all blocks run on all rows");
  if (method !== "learned" && (values.microBatch ?? 0) > DRAWN_TOGETHER) {
    throw new SettingError(
      `\`microBatch\` expects at most ${DRAWN_TOGETHER} with \`method\` ${method}, got ${values.microBatch}: so many examples are drawn together`,
    );
  }
}

/** @throws SettingError for a given option that the method does not read. */
function refuseForeign(method: Method, { blocks }: PruneValues, given: ReadonlySet<string>): void {
  const read = new Set<string>([...common, ...own[method]]);
  const foreign = namesIn(pruneSettings).find((name) => given.has(name) && !read.has(name));
  if (foreign === undefined) return;
  if (method === "indices" && blocks !== undefined)
    refuseIgnored(given, "`blocks`", [foreign], "named blocks are kept without learning");
  const readers = methods.filter((other) => own[other].includes(foreign));
  throw new SettingError(
    `\`method\` ${method} and ${quoted(foreign)} exclude each other: only ${readers.join(", ")} ${readers.length === 1 ? "reads" : "read"} it`,
  );
}

/** The plain budget of `keep`, if there is one. @throws InputError if it does not fit. */
export const budgetOf = ({ keep }: PruneValues, stacks: Stacks) =>
  keep === undefined ? undefined : parseBudget(keep, stacks);
