/** Which presets weights could be, from names and shapes alone: whole, or with blocks dropped. */
import { sizeOf } from "../array/ndarray.ts";
import type { DiTConfig } from "../models/dit/config.ts";
import { hasNullClass } from "../models/family.ts";
import { presets } from "../models/presets.ts";
import { type Model, modelOf } from "../models/registry.ts";
import { type FoundWeight, fitsWeights, weightSpecs } from "./weight-specs.ts";

/** Weights by name. */
export type FoundWeights = ReadonlyMap<string, FoundWeight>;

/** A model that has weights of these names and shapes. */
export interface FittingModel {
  /** What `--model` calls it; of a model with fewer blocks the whole preset. */
  readonly preset: string;
  /** `DiT-XL/2`, `DiT-XL/2 with 9 of 28 blocks`. */
  readonly text: string;
  readonly model: Model;
}

/**
 * The presets whose weights these could be. Families may agree in all names and shapes, as DiT and SiT do, and the
 * number of heads has no shape at all.
 */
export function presetsThatFit(found: FoundWeights): FittingModel[] {
  const scopes = new Set(Array.from(found.keys()).flatMap(numberedScopes));
  const fitting = new Map<string, FittingModel>();
  for (const [preset, labelled] of presetModels()) {
    const model = withFoundLabels(labelled, found);
    if (!couldFit(model, found)) continue;
    const shallow = withFoundBlocks(model, found, scopes);
    if (!shallow || shallow.config.depth === 0 || !fitsWeights(weightSpecs(shallow), found)) continue;
    const text = presetName(shallow)!;
    if (!fitting.has(text)) fitting.set(text, { preset: presets.has(text) ? text : preset, text, model: shallow });
  }
  return [...fitting.values()];
}

/** The model with as many of its first blocks as there are weights for; undefined if no such model has these weights. */
export function shallowFit(whole: Model, found: FoundWeights): Model | undefined {
  const model = withFoundLabels(whole, found);
  const scopes = new Set(Array.from(found.keys()).flatMap(numberedScopes));
  const shallow = withFoundBlocks(model, found, scopes);
  return shallow && shallow.config.depth > 0 && fitsWeights(weightSpecs(shallow), found) ? shallow : undefined;
}

/** The model, without a class for "no label" where the table of labels has one row for each class only. */
function withFoundLabels({ family, config }: Model, found: FoundWeights): Model {
  const rows = found.get("y_embedder.embedding_table.weight")?.shape[0];
  return { family, config: rows === config.numClasses ? { ...config, nullClass: false } : config };
}

/**
 * `DiT-Digits`, `DiT-Digits with 14 of 28 blocks`, `MAR-L with 8 + 7 of 16 + 16 blocks`, or null. Behind it stands what
 * was pruned in width, and what is missing: `DiT-Digits, 2 of 4 heads, MLP 128 wide, no class for "no label"`.
 */
export function presetName(model: Model): string | null {
  const { keptHeads, mlpSize, nullClass, ...config } = model.config as Partial<DiTConfig>;
  const name = nameInFullWidth({ ...model, config: model.family.parse(config) });
  const heads = keptHeads === undefined ? "" : `, ${keptHeads} of ${config.numHeads} heads`;
  const widths = `${heads}${mlpSize === undefined ? "" : `, MLP ${mlpSize} wide`}`;
  return name && `${name}${widths}${hasNullClass({ nullClass }) ? "" : noNullClassText}`;
}

function nameInFullWidth(model: Model): string | null {
  const relatives = presetModels().filter(([, { family }]) => family === model.family);
  const equal = relatives.find(([, other]) => isSame(model, other));
  if (equal) return equal[0];
  const stacks = model.family.stacks(model.config);
  const deeper = relatives.find(([, other]) => {
    const shallow = withStacks(other, stacks);
    return shallow !== undefined && isSame(model, shallow);
  });
  return deeper ? `${deeper[0]} with ${stacksText(model)} of ${stacksText(deeper[1])} blocks` : null;
}

/** What a model without such a class is called by. */
export const noNullClassText = ', no class for "no label"';

/** How many blocks each stack has: `28`, `14 + 14`. */
export const stacksText = ({ family, config }: Model): string => family.stacks(config).join(" + ");

const presetModels = (): (readonly [string, Model])[] =>
  Array.from(presets, ([name, config]) => [name, modelOf(config)] as const);

const isSame = ({ family, config }: Model, other: Model): boolean =>
  JSON.stringify(family.parse(config)) === JSON.stringify(family.parse(other.config));

/** Whether the weights outside of all blocks have their sizes: much less to trace than the whole model. */
function couldFit(model: Model, found: FoundWeights): boolean {
  const empty = withStacks(
    model,
    model.family.stacks(model.config).map(() => 0),
  )!;
  return weightSpecs(empty).every(({ name, shape }) => {
    const weight = found.get(name);
    return weight !== undefined && sizeOf(weight.shape) === sizeOf(shape);
  });
}

function withFoundBlocks(model: Model, found: FoundWeights, scopes: ReadonlySet<string>): Model | undefined {
  return found.size === 0 ? undefined : withStacks(model, blocksIn(model, scopes));
}

/** The model with the first blocks of each stack only; undefined if it has fewer. */
function withStacks({ family, config }: Model, counts: readonly number[]): Model | undefined {
  const stacks = family.stacks(config);
  if (stacks.some((depth, stack) => counts[stack]! > depth)) return undefined;
  const kept: number[] = [];
  let start = 0;
  for (const [stack, depth] of stacks.entries()) {
    for (let block = 0; block < counts[stack]!; block++) kept.push(start + block);
    start += depth;
  }
  return { family, config: family.keep(config, kept) };
}

/** How many blocks of each stack have weights under these scopes. */
function blocksIn({ family, config }: Model, scopes: ReadonlySet<string>): number[] {
  const own = family.blockScopes(config);
  let start = 0;
  return family.stacks(config).map((depth) => {
    start += depth;
    return own.slice(start - depth, start).filter((scope) => scopes.has(scope)).length;
  });
}

/** `a.0.b.1.c` lies in `a.0` and in `a.0.b.1`. */
const numberedScopes = (name: string): string[] =>
  Array.from(name.matchAll(/\.\d+(?=\.)/g), ({ index, 0: number }) => name.slice(0, index + number.length));
