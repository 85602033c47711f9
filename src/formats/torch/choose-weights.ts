/** Which of the state dicts in a torch file is read, by their names and by what is asked for. */

import { InputError, quote } from "../../array/input-error.ts";
import type { NamedTensors } from "./pickle-values.ts";

/** One dictionary of tensors in a file. */
export interface StateDict {
  /** Names of the dictionaries on the way to it; none where the file is one state dict itself. */
  readonly path: readonly string[];
  readonly tensors: NamedTensors;
}

/** Words in the names of entries that hold a model's weights, and of those that hold averaged ones. */
const words = new Set(
  "model state states dict module params param parameters weights generator g network net online unet transformer dit sit mar student denoiser backbone checkpoint ckpt".split(
    " ",
  ),
);
const averageWords = new Set(["ema", "averaged", "average", "avg", "polyak", "swa", "shadow"]);

const wordsOf = (name: string): string[] => name.toLowerCase().split(/[._-]/).filter(Boolean);

/** Whether a name, or a word in it, means a moving average of weights: `ema_model.`, `params_ema`. */
export const namesAverage = (name: string): boolean => wordsOf(name).some((word) => averageWords.has(word));

/** Whether it is a moving average, as any name on the way to it says. */
export const isAverage = ({ path }: StateDict): boolean => path.some(namesAverage);

/** Whether training scripts keep a model's weights under this name. */
export function isKnown({ path }: StateDict): boolean {
  const last = wordsOf(path.at(-1) ?? "");
  return last.length > 0 && last.every((word) => words.has(word) || averageWords.has(word));
}

/** By which it is asked for: `model`, `ema.module`. */
export const nameOf = ({ path }: StateDict): string => path.join(".");

/**
 * The weights that a file is read for: `wanted` by name or as a kind ("model", "ema"); else the moving average if there
 * is one, else the model, else the file itself, else the only weights there are. A dictionary with two names counts once.
 * Undefined if there is nothing of the kind.
 * @throws InputError listing those that fit, if several do.
 */
export function chooseWeights(
  found: readonly StateDict[],
  wanted: string | undefined,
  where: string,
): StateDict | undefined {
  for (const fitting of wanted === undefined ? inOrder(found) : asWanted(found, wanted)) {
    const different = [...new Map(fitting.map((one) => [one.tensors, one])).values()];
    if (different.length === 1) return fitting[0];
    if (different.length > 1) {
      const names = listed(different.map((one) => quote(nameOf(one) || "the file itself")));
      const example = different.map(nameOf).find(Boolean);
      throw new InputError(
        `${where}: holds several sets of weights that fit: ${names}; choose one, as with \`weights\` ${example}`,
      );
    }
  }
  return undefined;
}

function inOrder(found: readonly StateDict[]): (readonly StateDict[])[] {
  return [known(found, true), known(found, false), found.filter(({ path }) => path.length === 0), found];
}

/** By name, then by kind, then whatever holds names with such a prefix, which the reader of the names separates. */
function asWanted(found: readonly StateDict[], wanted: string): (readonly StateDict[])[] {
  const named = [
    found.filter((one) => nameOf(one) === wanted),
    found.filter((one) => nameOf(one).endsWith(`.${wanted}`) || nameOf(one).startsWith(`${wanted}.`)),
  ];
  if (wanted === "model") return [...named, ...inOrder(found).slice(1, 3)];
  const prefixes = wanted === "ema" ? averageWords : new Set([wanted]);
  const isBelow = (name: string) => `.${name}`.includes(`.${wanted}.`) || hasPrefix(name, prefixes);
  const holds = ({ tensors }: StateDict) => Array.from(tensors.keys()).some(isBelow);
  const mixed = inOrder(found).map((some) => some.filter(holds));
  return wanted === "ema" ? [...named, known(found, true), ...mixed] : [...named, ...mixed];
}

/** Whether a name is below such a word or component: `ema_model.blocks.0.…`. */
function hasPrefix(name: string, prefixes: ReadonlySet<string>): boolean {
  const components = name.split(".", 4).slice(0, -1);
  return components.some((one) => prefixes.has(one) || wordsOf(one).some((word) => prefixes.has(word)));
}

/** Those under the usual names, with as few dictionaries on the way as possible. */
function known(found: readonly StateDict[], average: boolean): readonly StateDict[] {
  const fitting = found.filter((one) => isKnown(one) && isAverage(one) === average);
  const least = fitting.reduce((depth, { path }) => Math.min(depth, path.length), Infinity);
  return fitting.filter(({ path }) => path.length === least);
}

/** The first names of a list that may be long. */
export function listed(names: readonly string[], most = 8): string {
  return names.length > most ? `${names.slice(0, most).join(", ")} and ${names.length - most} more` : names.join(", ");
}
