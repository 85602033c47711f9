/** How weights fit models: the one that a file describes, or presets, whole or with blocks dropped. */
import { InputError } from "../array/input-error.ts";
import type { TensorEntry } from "../formats/safetensors.ts";
import { presets } from "../models/presets.ts";
import { type Model, modelOf } from "../models/registry.ts";
import { checkWeights, weightSpecs } from "../weights/model-file.ts";
import { stacksText } from "./model-options.ts";

/** Why the weights are not those of the model, or null. */
export function misfit(entries: readonly TensorEntry[], model: Model, path: string): string | null {
  try {
    checkWeights(weightSpecs(model), new Map(entries.map((entry) => [entry.name, entry])), path);
    return null;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.message;
  }
}

/** `DiT-Digits`, `DiT-Digits with 14 of 28 blocks`, `MAR-L with 8 + 7 of 16 + 16 blocks`, or null. */
export function presetName(model: Model): string | null {
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

/** The presets whose weights these could be. Families may agree in all names and shapes, as DiT and SiT do. */
export function presetsThatFit(entries: readonly TensorEntry[]): string[] {
  const scopes = new Set(entries.flatMap(({ name }) => numberedScopes(name)));
  const names = presetModels().flatMap(([name, model]) => {
    const found = withStacks(model, blocksIn(model, scopes));
    const fits = found && found.config.depth > 0 && misfit(entries, found, name) === null;
    return fits ? (presetName(found) ?? []) : [];
  });
  return [...new Set(names)];
}

const presetModels = (): (readonly [string, Model])[] =>
  Array.from(presets, ([name, config]) => [name, modelOf(config)] as const);

const isSame = ({ family, config }: Model, other: Model): boolean =>
  JSON.stringify(family.parse(config)) === JSON.stringify(family.parse(other.config));

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
