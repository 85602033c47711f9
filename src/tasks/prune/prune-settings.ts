/** The settings of `prune`, which method reads which, and which exclude each other. */

import { parseBudget } from "../../pruning/budget.ts";
import { DRAWN_TOGETHER } from "../../pruning/calibration.ts";
import type { Stacks } from "../../pruning/groups.ts";
import { layerMapRules } from "../../pruning/layer-map.ts";
import { type Method, methods, pruners } from "../../pruning/pruners.ts";
import { dataSettings } from "../data-settings.ts";
import { fileModelSettings } from "../model-settings.ts";
import { quoted, refuseIgnored, SettingError, type SettingTable, type Values } from "../settings.ts";
import {
  diffusionSettings,
  engineSettings,
  loopSettings,
  optimizerSettings,
  processSettings,
} from "../shared-settings.ts";

const learnedSummary = "learned masks with a weight update (TinyFusion)";

const methodHelp = [
  "method of choosing the blocks:",
  ...methods.map((method) => `${method}: ${method === "learned" ? learnedSummary : pruners[method].summary};`),
].join("\n");

const choiceSettings = {
  file: { kind: "weights", help: "model to prune" },
  method: { kind: "choice", choices: methods, fallback: "learned", help: methodHelp },
  groups: {
    kind: "text",
    fallback: "1:2",
    help: "N:M, N of every M blocks kept: 2:4, or 2:4,3:4,…",
  },
  keep: {
    kind: "text",
    help: "number of blocks kept, instead of `groups`; MAR: 8,8",
  },
  blocks: { kind: "text", help: "blocks to keep, such as 0,2,4, instead of a method" },
  calibration: {
    kind: "integer",
    fallback: 256,
    min: 2,
    help: "examples of `data` for scores and losses",
  },
  bi: {
    kind: "choice",
    choices: ["noised", "clean-latents"],
    fallback: "noised",
    help: "shortgpt: inputs as in training, or ShortGPT's without noise",
  },
  protectLast: {
    kind: "choice",
    choices: ["on", "off"],
    help: "shortgpt: last block always kept [on with clean-latents, else off]",
  },
  candidates: { kind: "integer", fallback: 100, min: 1, max: 100_000, help: "number of random masks compared" },
  lossThreshold: {
    kind: "number",
    fallback: 0.05,
    min: 0,
    max: 0.99,
    help: "taylor: smallest counted loss, relative to the largest",
  },
} as const satisfies SettingTable;

const layerMapSetting = {
  layerMap: {
    kind: "text",
    fallback: "paper",
    help: `student:teacher blocks for distillation: ${layerMapRules.join(", ")}, or 0:1,1:3`,
  },
} as const satisfies SettingTable;

const learningSettings = {
  delta: {
    kind: "choice",
    choices: ["lora", "full", "none"],
    fallback: "lora",
    help: "weight update learned with the gates",
  },
  loraRank: { kind: "integer", fallback: 8, min: 1, help: "rank of the weight update" },
  loraAlpha: { kind: "number", fallback: 16, above: 0, help: "scale of the update, as alpha / rank" },
  keepUpdate: { kind: "flag", help: "learned weight update merged into the pruned model" },
  execution: {
    kind: "choice",
    choices: ["routed", "dense"],
    fallback: "routed",
    help: "blocks run on the examples that keep them, or all",
  },
  counterfactual: {
    kind: "number",
    fallback: 1,
    min: 0.01,
    max: 1,
    help: "fraction of dropped examples run for the gradient of gates",
  },
  gateLr: { kind: "number", above: 0, help: "learning rate of the gates [10 × `learningRate`]" },
  gateLrSpan: {
    kind: "number",
    min: 0.01,
    max: 1,
    help: "fraction of the run over which `gateLr` decays to 0",
  },
  gateLrWarmup: {
    kind: "integer",
    min: 0,
    help: "warm-up steps of `gateLr` [0 with `gateLrSpan`, else `warmupSteps`]",
  },
  gateInit: { kind: "number", fallback: 0.02, help: "initial value of the gates' logits" },
  tauStart: { kind: "number", fallback: 4, min: 1e-3, help: "Gumbel-softmax temperature at the first step" },
  tauEnd: { kind: "number", fallback: 0.1, min: 1e-3, help: "the same at the last step" },
  scaleStart: { kind: "number", fallback: 100, min: 1e-3, help: "factor on the gates at the first step" },
  scaleEnd: { kind: "number", fallback: 100, min: 1e-3, help: "the same at the last step" },
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
const common: readonly Name[] = [
  "method",
  "layerMap",
  "file",
  "out",
  ...namesIn({ ...engineSettings, ...fileModelSettings }),
];
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
  const read = new Set<string>([...own[method], "layerMap", ...namesIn({ ...fileModelSettings, ...engineSettings })]);
  const isRead = (name: string): boolean =>
    read.has(name) && !(name === "groups" && method !== "learned" && values.keep !== undefined);
  return Object.fromEntries(Object.entries(values).filter(([name]) => isRead(name)));
}

/** @throws SettingError for options that would be ignored, or of which one makes the other meaningless. */
export function checkTogether(method: Method, values: PruneValues, given: ReadonlySet<string>): void {
  refuseForeign(method, values, given);
  const { keep, blocks, layerMap, execution } = values;
  if (method === "indices" && blocks === undefined) throw new SettingError("`blocks` is required by `method` indices");
  if (keep !== undefined) refuseIgnored(given, "`keep`", ["groups"], "both say how many blocks are kept");
  const without = blocks !== undefined ? "`blocks`" : keep !== undefined ? "`keep`" : undefined;
  if (without && layerMap === "group") {
    throw new SettingError(
      `${without} and \`layerMap\` group exclude each other: there are no groups; use \`layerMap\` next-kept`,
    );
  }
  if (execution === "dense")
    refuseIgnored(given, "`execution` dense", ["counterfactual"], "all blocks run on all examples");
  if (method !== "learned" && (values.microBatch ?? 0) > DRAWN_TOGETHER) {
    throw new SettingError(
      `\`microBatch\` expects at most ${DRAWN_TOGETHER} with \`method\` ${method}, which draws ${DRAWN_TOGETHER} examples at a time; got ${values.microBatch}`,
    );
  }
}

/** @throws SettingError for a given option that the method does not read. */
function refuseForeign(method: Method, { blocks }: PruneValues, given: ReadonlySet<string>): void {
  const read = new Set<string>([...common, ...own[method]]);
  const foreign = namesIn(pruneSettings).find((name) => given.has(name) && !read.has(name));
  if (foreign === undefined) return;
  if (method === "indices" && blocks !== undefined)
    refuseIgnored(given, "`blocks`", [foreign], "no method is used where the blocks are given");
  const readers = methods.filter((other) => own[other].includes(foreign));
  throw new SettingError(
    `\`method\` ${method} and ${quoted(foreign)} exclude each other: ${quoted(foreign)} is for ${readers.join(", ")}`,
  );
}

/** The plain budget of `keep`, if there is one. @throws InputError if it does not fit. */
export const budgetOf = ({ keep }: PruneValues, stacks: Stacks) =>
  keep === undefined ? undefined : parseBudget(keep, stacks);
