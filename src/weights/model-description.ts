/** What a model file says of itself in its metadata: configuration, process, and what was pruned. */

import { InputError } from "../array/input-error.ts";
import { type Process, processOf } from "../diffusion/process.ts";
import { isLayerMap } from "../models/layer-pairs.ts";
import { type Model, modelOf } from "../models/registry.ts";

/** One pruning in a model's past: which blocks of which file were kept, and what was removed from inside them. */
export interface Pruning {
  /** SHA-256 of the parent's file. */
  readonly parent: string;
  readonly parentDepth: number;
  /** Blocks of the parent, ascending. */
  readonly kept: readonly number[];
  /** The groups the decision was made in, as written: "2:4". */
  readonly groups?: string;
  /** Student block → teacher block pairs for feature distillation. */
  readonly layerMap: readonly (readonly [number, number])[];
  /** Heads and channels that were removed from the kept blocks; absent where blocks stayed as wide as they were. */
  readonly width?: WidthPruning;
}

/** What a model file says of itself besides its configuration. */
export interface ModelFacts {
  /** Weights as trained, or their moving average. */
  readonly weights: "raw" | "ema";
  /** Images seen in all trainings. */
  readonly images: number;
  /** From the root to now. */
  readonly prunings: readonly Pruning[];
  /** The process the model was trained on. */
  readonly process: Process;
  /** What its classes are called, by label, where the data said it; files of before have none. */
  readonly classNames?: readonly string[];
}

const KEY = "tinyfusion";

/** The metadata of a model file. */
export function describeModel(
  model: Model,
  { weights, images, prunings, process, classNames }: ModelFacts,
): Record<string, string> {
  const facts: ModelFacts = { weights, images, prunings, process, ...(classNames && { classNames }) };
  return { [KEY]: JSON.stringify({ config: model.config, ...facts }), format: "pt" };
}

/**
 * What a file's metadata say of the model in it; undefined for a file of another origin.
 * @throws InputError for a damaged description.
 */
export function describedModel(
  metadata: Readonly<Record<string, string>>,
  path: string,
): { model: Model; facts: ModelFacts; processFrom?: string } | undefined {
  const text = metadata[KEY];
  if (text === undefined) return undefined;
  let json: ({ config?: unknown } & Partial<ModelFacts>) | null;
  try {
    json = JSON.parse(text);
  } catch {
    throw new InputError(`${path}: the "${KEY}" metadata is not JSON`);
  }
  const { config, ...facts } = json ?? {};
  const model = modelOf(config, `${path}: model configuration`);
  const { process } = facts;
  return {
    model,
    facts: checkedFacts(facts, model, path),
    ...(process !== undefined && { processFrom: "its description" }),
  };
}

/** What a file says of itself; what it leaves out gets a default. @throws InputError naming the first wrong field. */
function checkedFacts(found: Partial<ModelFacts>, model: Model, path: string): ModelFacts {
  const { weights = "raw", images = 0, prunings = [], classNames } = found;
  const wrong = (expected: string) => new InputError(`${path}: the "${KEY}" metadata is damaged: expected ${expected}`);
  if (weights !== "raw" && weights !== "ema") throw wrong("weights raw or ema");
  if (!Number.isSafeInteger(images) || images < 0) throw wrong("images, a whole number");
  if (!Array.isArray(prunings) || !prunings.every(isPruning)) {
    throw wrong(
      "prunings, each with parent, parentDepth, kept blocks of the parent, and a layerMap between the two; of a pruning in width also the removed heads and channels of each block",
    );
  }
  const before = [...prunings.map(({ parentDepth }) => parentDepth), model.config.depth];
  if (!prunings.every(({ kept }, i) => kept.length === before[i + 1])) {
    throw wrong(`prunings, each keeping as many blocks as the next or the model has (${before.slice(1).join(", ")})`);
  }
  const process = processOf(model.family.process, found.process, `${path}: the "${KEY}" metadata: the process`);
  const { numClasses } = model.config;
  const isNamed = (names: unknown) => Array.isArray(names) && names.every((name) => typeof name === "string");
  if (classNames !== undefined && (!isNamed(classNames) || classNames.length > numClasses)) {
    throw wrong(`classNames, a list of at most ${numClasses} names`);
  }
  return { weights, images, prunings, process, ...(classNames && { classNames }) };
}

function isPruning(entry: Partial<Pruning> | null): entry is Pruning {
  const { parent, parentDepth, kept, groups = "", layerMap, width } = entry ?? {};
  if (typeof parent !== "string" || typeof groups !== "string" || !Array.isArray(kept)) return false;
  const depth = Number.isSafeInteger(parentDepth) ? parentDepth! : 0;
  const ascending = kept.every(
    (block, i) => Number.isSafeInteger(block) && block > (kept[i - 1] ?? -1) && block < depth,
  );
  if (width !== undefined && !isWidthPruning(width, kept.length)) return false;
  return ascending && isLayerMap(layerMap, kept.length, depth);
}

/** Kinds of units that can be removed from every block: heads of attention, channels between the layers of the MLP. */
export const channelGroupKinds = ["heads", "channels"] as const;

export type ChannelGroupKind = (typeof channelGroupKinds)[number];

/** Units of one kind, by block. */
export interface RemovedGroups {
  /** How many each block of the parent has. */
  readonly of: number;
  /** For each block the removed ones by their numbers in the parent, as `0,4-7`; equally many in all blocks. */
  readonly removed: readonly string[];
}

export interface WidthPruning extends Readonly<Record<ChannelGroupKind, RemovedGroups>> {
  /** The rule that chose them. */
  readonly criterion: string;
}

/** Ascending numbers as text: `0,4-7`; none as an empty text. */
export function rangesText(numbers: readonly number[]): string {
  const runs: [first: number, last: number][] = [];
  for (const number of numbers) {
    const run = runs.at(-1);
    if (run?.[1] === number - 1) run[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

/** The numbers of such a text, each below `end`; undefined for any other text, or numbers that do not ascend. */
export function numbersIn(text: string, end: number): number[] | undefined {
  const numbers: number[] = [];
  for (const part of text === "" ? [] : text.split(",")) {
    const [, first, last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part) ?? [];
    if (first === undefined || Number(last) < Number(first) || Number(last) >= end) return undefined;
    if (Number(first) <= (numbers.at(-1) ?? -1)) return undefined;
    for (let number = Number(first); number <= Number(last); number++) numbers.push(number);
  }
  return numbers;
}

/** How many units each block keeps; undefined if the blocks are not told alike. */
export function keptGroupCount({ of, removed }: RemovedGroups): number | undefined {
  const counts = new Set(removed.map((text) => numbersIn(text, of)?.length));
  const [count] = counts;
  return counts.size === 1 && count !== undefined && count < of ? of - count : undefined;
}

/** No model is wider: a hostile number would be counted through. */
const WIDEST = 1_000_000;

/** Whether this describes what was removed from each of `depth` blocks. */
export function isWidthPruning(found: unknown, depth: number): found is WidthPruning {
  const entry = found as Partial<WidthPruning> | null;
  const isTold = (kind: ChannelGroupKind): boolean => {
    const { of, removed } = entry?.[kind] ?? {};
    if (!Number.isSafeInteger(of) || of! > WIDEST || !Array.isArray(removed) || removed.length !== depth) return false;
    return removed.every((text) => typeof text === "string") && keptGroupCount({ of: of!, removed }) !== undefined;
  };
  return typeof entry?.criterion === "string" && channelGroupKinds.every(isTold);
}
