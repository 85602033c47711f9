/** The dictionaries of tensors in a torch file, at its top, by name, and one level further down; and the tensors of a TorchScript module. */

import { InputError, quote } from "../../array/input-error.ts";
import { isAverage, listed, nameOf, type StateDict } from "./choose-weights.ts";
import {
  kindOfValue,
  type NamedTensors,
  PickledGlobal,
  PickledObject,
  PickledTensor,
  type PickleValue,
  scriptPackage,
  type TensorValue,
} from "./pickle-values.ts";
import { refusedCall } from "./python-globals.ts";

/** What a torch file holds. */
export interface FoundStateDicts {
  readonly found: readonly StateDict[];
  /** A list of tensors without names that is kept as a moving average, and where. */
  readonly unnamed?: { readonly name: string; readonly count: number };
}

/** Entries whose tensors are no weights. */
const notWeights = /^(opt|sched|lr_|scaler|grad_scaler|rng|random|loss|loops)/i;

/** Where Lightning keeps the states of callbacks, of which one may be a moving average: `callbacks.EMA.ema_state_dict`. */
const callbacks = "callbacks";

/** The dictionary or object in lists of one, as some scripts save it; other values stay as they are. */
export function unlisted(value: PickleValue): PickleValue {
  let inner = value;
  for (let depth = 0; depth < 4 && Array.isArray(inner) && inner.length === 1; depth++) inner = inner[0]!;
  return inner instanceof Map || inner instanceof PickledObject ? inner : value;
}

/** All state dicts. Whatever holds what, and however often, each value is visited once. */
export function stateDicts(root: PickleValue): FoundStateDicts {
  const found: StateDict[] = [];
  const visited = new Map<PickleValue, NamedTensors>();
  let unnamed: FoundStateDicts["unnamed"];
  const visit = (given: PickleValue, path: readonly string[]): void => {
    const value = unlisted(given);
    if (!(value instanceof Map || Array.isArray(value))) return;
    const before = visited.get(value);
    const tensors = before ?? directTensors(value);
    visited.set(value, tensors);
    if (isOptimizer(value)) return;
    const isCallback = path[0] === callbacks;
    const isWanted = path.length === 0 || (holdsArrays(tensors) && (!isCallback || isAverage({ path, tensors })));
    const isStateDict = tensors.size > 0 && isWanted;
    if (isStateDict) found.push({ path, tensors });
    if (before) return;
    if (isUnnamed(value, path)) unnamed ??= { name: path.join("."), count: value.length };
    if ((isStateDict && path.length > 0) || path.length > (isCallback ? 2 : 1) || notWeights.test(path[0] ?? ""))
      return;
    for (const [name, inner] of namedEntries(value, path.length === 0)) visit(inner, [...path, name]);
  };
  visit(root, []);
  return { found, ...(unnamed && { unnamed }) };
}

/** What `torch.optim` calls its parts. */
const isOptimizer = (value: PickleValue): boolean =>
  value instanceof Map && value.has("state") && value.has("param_groups");

/** Longest list or tuple whose items are searched, as in `torch.save((model, optimizer, step), …)`. */
const mostItems = 16;

/** Entries by name; at the top of a file also those of numbers, and the items of a short list or tuple by position. */
function* namedEntries(value: PickleValue, isTop: boolean): Generator<[string, PickleValue]> {
  if (value instanceof Map) {
    for (const [key, inner] of value) {
      if (typeof key === "string" || (isTop && typeof key === "number")) yield [String(key), inner];
    }
  } else if (isTop && Array.isArray(value) && value.length <= mostItems) {
    for (const [i, inner] of value.entries()) yield [String(i), inner];
  }
}

/** The dictionary that holds the state dict at `path`. */
export function holderOf(root: PickleValue, path: readonly string[]): PickleValue {
  let holder = root;
  for (const [depth, wanted] of path.slice(0, -1).entries()) {
    for (const [name, inner] of namedEntries(holder, depth === 0)) {
      if (name !== wanted) continue;
      holder = unlisted(inner);
      break;
    }
  }
  return holder;
}

/** Whether there is more than counters, which are tensors without axes. */
function holdsArrays(tensors: NamedTensors): boolean {
  for (const tensor of tensors.values()) {
    if (!(tensor instanceof PickledTensor && Array.isArray(tensor.shape) && tensor.shape.length === 0)) return true;
  }
  return false;
}

const isUnnamed = (value: PickleValue, path: readonly string[]): value is PickleValue[] =>
  Array.isArray(value) &&
  value.length > 0 &&
  (path.length === 0 || path.some((name) => /shadow|ema|averag/i.test(name))) &&
  value.every((item) => item instanceof PickledTensor);

/** The error where no weights were found, or none of those that are wanted. */
export function noWeights(
  root: PickleValue,
  { found, unnamed }: FoundStateDicts,
  wanted: string | undefined,
  where: string,
): InputError {
  if (unnamed && (wanted === undefined || wanted === "ema" || wanted === unnamed.name)) {
    return new InputError(`${where}: ${unnamedText(unnamed)}`);
  }
  const whole = wholeModule(root);
  if (whole) {
    return new InputError(
      `${where}: expected a dictionary of tensors, found a whole module of the class ${whole}, which is not known here; ` +
        "save its state_dict() instead",
    );
  }
  if (root instanceof PickledGlobal) return refusedCall(root.name, where);
  const isScript: boolean = isScriptModule(root); // it was opened for another kind of weights
  if (root instanceof PickledObject && !isScript) return refusedCall(root.type, where);
  const names = found.flatMap((one) => (one.path.length > 0 ? [quote(nameOf(one))] : []));
  const expected = wanted === undefined ? "a dictionary of tensors" : `weights called ${wanted}`;
  const held = names.length > 0 ? listed(names) : contents(root, found.length > 0);
  const remedy = wanted === undefined ? "" : "; ask for what there is, or for none in particular";
  return new InputError(`${where}: expected ${expected}, found ${held}${remedy}`);
}

/** The class of a module that was pickled as it is, or of one at the top of the file. */
function wholeModule(root: PickleValue): string | undefined {
  for (const value of root instanceof Map ? root.values() : [root]) {
    if (!(value instanceof PickledObject && value.state instanceof Map)) continue;
    if (value.state.has("_parameters")) return value.type;
  }
  return undefined;
}

/** What an average without names is, and what to do about it. */
export function unnamedText({ name, count }: NonNullable<FoundStateDicts["unnamed"]>): string {
  const place = name === "" ? "a list" : `a list (${name})`;
  return (
    `its moving average is ${place} of ${count} tensors without names, as the state of diffusers' EMAModel is, ` +
    "so that nothing says which weight is which; copy it into the model (ema.copy_to(model.parameters())) and save model.state_dict()"
  );
}

function contents(root: PickleValue, isBare: boolean): string {
  if (Array.isArray(root) && root.length > 0 && root.length <= mostItems) {
    return `a list of ${root.map(kindOfValue).join(", ")} without tensors by name`;
  }
  if (!(root instanceof Map)) return kindOfValue(root);
  if (isBare) return "one dictionary of tensors without a name";
  const names: string[] = [];
  for (const [key, value] of root) {
    if (names.length === 8) break;
    const kind = value instanceof PickledObject ? ` (${kindOfValue(value)})` : "";
    const name = typeof key === "string" ? quote(key) : typeof key === "number" ? String(key) : kindOfValue(key);
    names.push(`${name}${kind}`);
  }
  return root.size > 0 ? `no tensors, only ${names.join(", ")}` : "an empty dictionary";
}

/** Functions that make tensors which are not read here. */
const isTensorLike = ({ type }: PickledObject): boolean =>
  /^torch\.(_utils|_tensor)\._rebuild|^numpy\.ndarray$/.test(type);

/** The tensors among the values of a dictionary; anything else is no weight. */
function directTensors(value: PickleValue): NamedTensors {
  const tensors = new Map<string, TensorValue>();
  if (!(value instanceof Map)) return tensors;
  for (const [key, entry] of value) {
    const isTensor = entry instanceof PickledTensor || (entry instanceof PickledObject && isTensorLike(entry));
    if (isTensor && typeof key === "string") tensors.set(key, entry);
  }
  return tensors;
}

/**
 * All tensors below an entry of the file's dictionary, nested names joined by dots: an optimizer's `state.1.exp_avg`.
 * @throws InputError if there is no such entry, or its nesting has no end.
 */
export function tensorsBelow(root: PickleValue, entry: string, where: string): NamedTensors {
  if (!(root instanceof Map) || !root.has(entry)) throw new InputError(`${where}: it has no entry ${quote(entry)}`);
  return nestedTensors(root.get(entry)!, entriesOf, `${where}: ${quote(entry)}`);
}

const entriesOf = (value: PickleValue): Entries | undefined =>
  value instanceof Map || Array.isArray(value) ? value.entries() : undefined;

/** What a value holds, by name. */
type Entries = Iterable<readonly [name: unknown, value: PickleValue]>;

const mostValues = 200_000; // an optimizer has a few for each weight
const longestName = 1000; // which ends nesting too: each level adds to the name

/**
 * All tensors in `root`, in the order of the file, their names joined by dots: `state.1.exp_avg`, `layers.conv.weight`.
 * `entriesOf` says what is looked into.
 * @throws InputError about `what` if its nesting has no end.
 */
function nestedTensors(
  root: PickleValue,
  entriesOf: (value: PickleValue) => Entries | undefined,
  what: string,
): Map<string, PickledTensor> {
  const tensors = new Map<string, PickledTensor>();
  let visited = 0;
  const visit = (value: PickleValue, path: string): void => {
    visited++;
    if (visited > mostValues || path.length > longestName) {
      throw new InputError(`${what} is nested too deeply or holds too much; refused`);
    }
    if (value instanceof PickledTensor) tensors.set(path.slice(0, -1), value);
    else for (const [key, inner] of entriesOf(value) ?? []) visit(inner, `${path}${textOf(key)}.`);
  };
  visit(root, "");
  return tensors;
}

/** A key as part of a name; one that is a tuple or an object may hold anything. */
const textOf = (key: unknown): string => (typeof key === "object" && key !== null ? "?" : String(key));

/** Whether a file holds a TorchScript module, which has code beside its weights; the code is not looked at. */
export function isScriptModule(root: PickleValue): root is PickledObject {
  return root instanceof PickledObject && root.type.startsWith(scriptPackage);
}

/**
 * Parameters and buffers by PyTorch's names, `layers.conv.weight`, in the order of the file.
 * @throws InputError if modules hold themselves, or there is no tensor.
 */
export function moduleTensors(root: PickledObject, where: string): NamedTensors {
  const attributesOf = (value: PickleValue) =>
    isScriptModule(value) && value.state instanceof Map ? value.state.entries() : undefined;
  const tensors = nestedTensors(root, attributesOf, `${where}: its module`);
  if (tensors.size > 0) return tensors;
  throw new InputError(`${where}: expected a TorchScript module with weights, found one without`);
}
