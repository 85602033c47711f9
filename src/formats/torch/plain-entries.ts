/** What a torch file says beside its weights, as values that JSON can hold. */

import {
  kindOfValue,
  PickledGlobal,
  PickledObject,
  PickledStorage,
  PickledTensor,
  type PickleValue,
} from "./pickle-values.ts";

interface Budget {
  left: number;
}

const deepest = 16;
const mostArguments = 16; // of an object that are shown
const mostItems = 10_000; // of one list or dictionary
const mostValues = 100_000; // in all: values may be shared, and hold themselves

/**
 * The entries of a dictionary but for `without`, as JSON-able values. Tensors become texts like
 * `FloatStorage tensor [16, 4]`, objects the dictionary of their attributes, very long or deep values a description.
 */
export function plainEntries(root: PickleValue, without: ReadonlySet<string>): Record<string, unknown> {
  const budget = { left: mostValues };
  const entries: Record<string, unknown> = Object.create(null);
  if (!(root instanceof Map)) return entries;
  for (const [key, value] of root) {
    if (typeof key !== "string" || without.has(key)) continue;
    if (budget.left <= 0) break;
    entries[plainText(key, budget)] = plain(value, deepest, budget);
  }
  return entries;
}

function plain(value: PickleValue, depth: number, budget: Budget): unknown {
  budget.left--;
  if (typeof value === "string") return plainText(value, budget);
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (value instanceof PickledGlobal) return value.name;
  if (value instanceof PickledTensor) return describeTensor(value);
  if (value instanceof PickledStorage) return `${value.type} of ${value.length}`;
  if (value instanceof PickledObject) return plainObject(value, depth, budget);
  const size = Array.isArray(value) ? value.length : value.size;
  if (depth === 0 || size > mostItems || size > budget.left) return `${kindOfValue(value)} of ${size}`;
  if (!(value instanceof Map)) return Array.from(value, (item) => plain(item, depth - 1, budget));
  const object: Record<string, unknown> = Object.create(null);
  for (const [key, item] of value) object[nameOf(key, budget)] = plain(item, depth - 1, budget);
  return object;
}

/** Text costs a value for every 64 characters. */
function plainText(text: string, budget: Budget): string {
  const cost = text.length >>> 6;
  if (cost > budget.left || text.length > mostItems) return `text of ${text.length} characters`;
  budget.left -= cost;
  return text;
}

/** The attributes of an argparse.Namespace and the like, or what a dictionary or list holds; else class and arguments. */
function plainObject({ type, args, state, entries, items }: PickledObject, depth: number, budget: Budget): unknown {
  const held = entries ?? items ?? (state instanceof Map ? state : null);
  if (held) return plain(held, depth, budget);
  const isSimple = (arg: PickleValue) => ["string", "number", "boolean"].includes(typeof arg);
  const simple = args.length > 0 && args.length <= mostArguments && args.every(isSimple);
  return simple ? `${type}(${args.map((arg) => String(arg).slice(0, 200)).join(", ")})`.slice(0, 200) : type;
}

function nameOf(key: PickleValue, budget: Budget): string {
  if (typeof key === "string") return plainText(key, budget);
  return typeof key === "object" && key !== null ? kindOfValue(key) : String(key);
}

function describeTensor({ storage, shape }: PickledTensor): string {
  const type = storage instanceof PickledStorage ? storage.type : "unknown";
  const sizes = Array.isArray(shape) ? shape.slice(0, 16).map((size) => (typeof size === "number" ? size : "?")) : [];
  return `${type} tensor [${sizes.join(", ")}]`;
}
