/** Names of ImageNet's classes: the label that a person means, and the name of a label. */
import { InputError } from "../array/input-error.ts";
import { imagenetClasses } from "./imagenet-classes.ts";

/** Choices that a message names. */
const shown = 6;

/** The usual name of a class: 207 → "golden retriever". @throws RangeError for a label outside 0 … 999. */
export function imagenetClassName(label: number): string {
  const names = imagenetClasses[label];
  if (!names) throw new RangeError(`ImageNet has classes 0 to ${imagenetClasses.length - 1}, not ${label}`);
  return names[0]!;
}

/**
 * The label of a class: its number, one of its names in any case, or a part of a name that only one class has.
 * @throws InputError if no class or more than one is meant, naming those that come near.
 */
export function imagenetClass(text: string): number {
  const wanted = text
    .trim()
    .toLowerCase()
    .replaceAll(/[\s_]+/g, " ");
  if (/^\d+$/.test(wanted) && Number(wanted) < imagenetClasses.length) return Number(wanted);
  for (const fits of [(name: string) => name === wanted, (name: string) => wanted !== "" && name.includes(wanted)]) {
    const labels = labelsWhere((name) => fits(name.toLowerCase()));
    if (labels.length === 1) return labels[0]!;
    if (labels.length > 1) {
      const rest = labels.length > shown ? ` and ${labels.length - shown} more` : "";
      throw new InputError(
        `"${text}" may be any of ${labels.length} classes of ImageNet: ${listed(labels.slice(0, shown))}${rest}; give the number`,
      );
    }
  }
  throw new InputError(
    `ImageNet has no class "${text}"; expected a number from 0 to ${imagenetClasses.length - 1} or a name such as ` +
      listed(nearestLabels(wanted, 3)),
  );
}

const labelsWhere = (fits: (name: string) => boolean): number[] =>
  imagenetClasses.flatMap((names, label) => (names.some(fits) ? [label] : []));

/** Different classes may have the same name (134 and 517 are both "crane"), so all names and the number are shown. */
const listed = (labels: readonly number[]): string =>
  labels.map((label) => `${label} (${imagenetClasses[label]!.slice(0, 2).join(", ")})`).join(", ");

/** The classes with a name that shares most pairs of letters with `wanted`, the nearest first. */
function nearestLabels(wanted: string, count: number): number[] {
  const pairs = letterPairs(wanted);
  return imagenetClasses
    .map((names, label) => ({ label, likeness: Math.max(...names.map((name) => likeness(pairs, letterPairs(name)))) }))
    .sort((a, b) => b.likeness - a.likeness || a.label - b.label)
    .slice(0, count)
    .map(({ label }) => label);
}

/** Neighbouring letters, with the ends of the text as letters of their own. */
function letterPairs(text: string): ReadonlySet<string> {
  const letters = `^${text.toLowerCase()}$`;
  return new Set(Array.from({ length: letters.length - 1 }, (_, i) => letters.slice(i, i + 2)));
}

/** Dice's coefficient: 1 for equal sets, 0 for disjoint ones. */
function likeness(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  let common = 0;
  for (const pair of a) if (b.has(pair)) common++;
  return (2 * common) / (a.size + b.size);
}
