/** The dictionaries of tensors in a torch file, and which of them holds the weights. */

import { InputError } from "../../array/input-error.ts";
import { quote } from "../zip/zip-directory.ts";
import { type Entries, nestedTensors } from "./nested-tensors.ts";
import { kindOfValue, PickledTensor, type PickleValue } from "./pickle-values.ts";

/** Tensors by name, in the order of the file. */
export type StateDict = ReadonlyMap<string, PickledTensor>;

/** The weights that were chosen. */
export interface ChosenWeights {
  readonly weights: "raw" | "ema";
  /** The entry they stand in; undefined where the file is one state dict itself. */
  readonly group?: string;
  readonly tensors: StateDict;
}

/** Names under which training scripts keep a moving average and the weights themselves, first choice first. */
const namesOf = { ema: ["ema", "model_ema"], model: ["model", "state_dict", "module"] } as const;

/** Wrappers that put their name before those of all weights: DistributedDataParallel, torch.compile. */
const wrappers = ["module.", "_orig_mod."];
const mostWrappers = 4; // around each other

/** The entries of a file's dictionary that are state dicts, by name: `model`, `ema`. */
export function stateDicts(root: PickleValue): ReadonlyMap<string, StateDict> {
  const found = new Map<string, StateDict>();
  const seen = new Map<PickleValue, StateDict>(); // names may share one dictionary
  if (!(root instanceof Map)) return found;
  for (const [name, value] of root) {
    const tensors = seen.get(value) ?? directTensors(value);
    seen.set(value, tensors);
    if (typeof name === "string" && tensors.size > 0) found.set(name, tensors);
  }
  return found;
}

/**
 * The weights a file is read for: the moving average if there is one, else the model, else the dictionary itself,
 * as the original's `find_model` has it; `wanted` asks for one of them.
 * @throws InputError naming what there is, if there is nothing of the kind.
 */
export function chooseWeights(
  root: PickleValue,
  groups: ReadonlyMap<string, StateDict>,
  wanted: "model" | "ema" | undefined,
  where: string,
): ChosenWeights {
  for (const kind of wanted ? [wanted] : (["ema", "model"] as const)) {
    const name = namesOf[kind].find((one) => groups.has(one));
    if (name === undefined) continue;
    return { weights: kind === "ema" ? "ema" : "raw", group: name, tensors: unwrapped(groups.get(name)!) };
  }
  const bare = directTensors(root);
  if (bare.size > 0 && wanted !== "ema") return { weights: "raw", tensors: unwrapped(bare) };
  throw new InputError(
    `${where}: expected ${expectation(wanted)}, found ${contents(root, groups, bare.size)}${wanted ? "; ask for what there is" : ""}`,
  );
}

function expectation(wanted: "model" | "ema" | undefined): string {
  if (wanted) return `weights called ${namesOf[wanted].join(" or ")}`;
  return `a dictionary of tensors, or one called ${[...namesOf.ema, ...namesOf.model].join(", ")}`;
}

function contents(root: PickleValue, groups: ReadonlyMap<string, StateDict>, bare: number): string {
  if (!(root instanceof Map)) return kindOfValue(root);
  if (groups.size > 0) return [...groups.keys()].slice(0, 8).map(quote).join(", ");
  if (bare > 0) return "one dictionary of tensors without a name";
  const names = [...root.keys()].slice(0, 8).map((key) => (typeof key === "string" ? quote(key) : kindOfValue(key)));
  return root.size > 0 ? `no tensors, only ${names.join(", ")}` : "an empty dictionary";
}

/** The tensors among the values of a dictionary; what else stands there is no weight. */
export function directTensors(value: PickleValue): StateDict {
  const tensors = new Map<string, PickledTensor>();
  if (!(value instanceof Map)) return tensors;
  for (const [key, entry] of value) {
    if (entry instanceof PickledTensor && typeof key === "string") tensors.set(key, entry);
  }
  return tensors;
}

/** Without the wrappers' names, where every tensor has them. */
function unwrapped(tensors: StateDict): StateDict {
  let names = [...tensors.keys()];
  for (let layer = 0; layer < mostWrappers; layer++) {
    const wrapper = wrappers.find((prefix) => names.every((name) => name.startsWith(prefix)));
    if (wrapper !== undefined) names = names.map((name) => name.slice(wrapper.length));
  }
  return new Map([...tensors.values()].map((tensor, k) => [names[k]!, tensor]));
}

/**
 * All tensors below an entry of the file's dictionary, nested names joined by dots: an optimizer's `state.1.exp_avg`.
 * @throws InputError if there is no such entry, or its nesting has no end.
 */
export function tensorsBelow(root: PickleValue, entry: string, where: string): StateDict {
  if (!(root instanceof Map) || !root.has(entry)) throw new InputError(`${where}: it has no entry ${quote(entry)}`);
  return nestedTensors(root.get(entry)!, entriesOf, `${where}: ${quote(entry)}`);
}

const entriesOf = (value: PickleValue): Entries | undefined =>
  value instanceof Map || Array.isArray(value) ? value.entries() : undefined;
