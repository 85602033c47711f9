/** A file that says which class each image has: lines `name,label`, or JSON. */
import { InputError } from "../../array/input-error.ts";
import { quote } from "../../formats/safetensors-header.ts";
import { readJson, readText } from "../../storage/read.ts";

/** Classes by file name, and what the classes are called if the file says it by name. */
export interface NamedLabels {
  /** From the name in the file, with slashes and without a leading `./`, to its label. */
  readonly labels: ReadonlyMap<string, number>;
  /** Sorted, so that the place of a name is its label; absent where the file has numbers. */
  readonly classNames?: readonly string[];
}

/** More would not be a class but a mistake. */
const mostClasses = 1_000_000;

interface Line {
  readonly name: string;
  /** As it stands in the file. */
  readonly label: string;
  /** For messages. */
  readonly where: string;
}

/**
 * Reads `name,label` lines (also with a tab or spaces between, with or without a line of headings), or JSON: an object
 * `{"name": label}`, an array of `["name", label]` pairs, or either under `"labels"`. Labels are all numbers from 0 on,
 * or all names, which are numbered in their sorted order.
 * @throws InputError naming the line.
 */
export function readLabels(path: string): NamedLabels {
  const lines = /\.json$/i.test(path) ? jsonLines(path) : textLines(path);
  if (lines.length === 0) throw new InputError(`${path}: expected lines "name,label", found none`);
  const number = /^\d+$/;
  const isNumbered = number.test(lines[0]!.label);
  const other = lines.find(({ label }) => number.test(label) !== isNumbered);
  if (other) {
    throw new InputError(
      `${other.where}: labels are to be all numbers from 0 on or all names, found "${other.label}" after "${lines[0]!.label}"`,
    );
  }
  const odd = lines.find(({ label }) => /^[-+\d.][\d.]*(?:e[-+]?\d+)?$/i.test(label) && !number.test(label));
  if (odd) throw new InputError(`${odd.where}: expected a whole number from 0 on or a name, found "${odd.label}"`);
  const classNames = isNumbered ? [] : [...new Set(lines.map(({ label }) => label))].sort();
  const labelOf = new Map(classNames.map((name, label) => [name, label]));
  const labels = new Map<string, number>();
  for (const { name, label, where } of lines) {
    const value = labelOf.get(label) ?? Number(label);
    if (value >= mostClasses) throw new InputError(`${where}: expected a label below ${mostClasses}, found ${label}`);
    if (labels.has(name)) throw new InputError(`${where}: "${name}" is named twice; keep one of the lines`);
    labels.set(name, value);
  }
  return isNumbered ? { labels } : { labels, classNames };
}

const plainName = (name: string): string => name.replaceAll("\\", "/").replace(/^(?:\.\/)+/, "");

function textLines(path: string): Line[] {
  const lines = readText(path).split(/\r\n|\n|\r/);
  return lines.flatMap((line, number): Line[] => {
    const where = `${path}, line ${number + 1}`;
    if (line.trim() === "") return [];
    const between = line.includes("\t") ? /\t/g : line.includes(",") ? /,/g : /\s+/g;
    const last = [...line.trimEnd().matchAll(between)].at(-1);
    const name = last && plainName(unquoted(line.slice(0, last.index)));
    const label = last && unquoted(line.slice(last.index + last[0].length));
    if (!name || !label) throw new InputError(`${where}: expected "name,label", found "${line.trim().slice(0, 100)}"`);
    if (number === 0 && !/\.\w+$/.test(name)) return []; // headings: every image has an extension
    return [{ name, label, where }];
  });
}

/** A field of a CSV line, with the quotes around it taken off. */
function unquoted(field: string): string {
  const text = field.trim();
  return /^".*"$/.test(text) && text.length > 1 ? text.slice(1, -1).replaceAll('""', '"') : text;
}

function jsonLines(path: string): Line[] {
  const root = readJson(path);
  const isObject = typeof root === "object" && root !== null && !Array.isArray(root);
  const held: unknown = isObject && "labels" in root ? root.labels : root;
  if (typeof held !== "object" || held === null) {
    throw new InputError(`${path}: expected {"name": label, …} or [["name", label], …], found ${quote(held)}`);
  }
  const pairs: unknown[] = Array.isArray(held) ? held : Object.entries(held);
  return pairs.map((pair, number) => {
    const where = `${path}, entry ${number + 1}`;
    const [name, label] = Array.isArray(pair) ? (pair as unknown[]) : [];
    const isLabel = typeof label === "string" ? label !== "" : Number.isSafeInteger(label) && Number(label) >= 0;
    if (typeof name !== "string" || name === "" || !isLabel) {
      throw new InputError(`${where}: expected a name and a label, a number from 0 on or a name; found ${quote(pair)}`);
    }
    return { name: plainName(name), label: String(label), where };
  });
}
