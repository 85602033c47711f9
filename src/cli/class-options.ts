/** Of which classes a command draws images. */
import { InputError } from "../array/input-error.ts";
import { imagenetClass } from "../data/class-names.ts";
import { imagenetClasses } from "../data/imagenet-classes.ts";
import { refuseIgnored, type SettingTable, type Values } from "../tasks/settings.ts";

export const classOptions = {
  classes: {
    kind: "text",
    help: "classes in turn, as 0,1,2 or by the names that the model file or ImageNet gives them [all of the model's]",
  },
  class: { kind: "text", help: 'one class, as 207 or "golden retriever"' },
} as const satisfies SettingTable;

const MOST_NAMES = 20;

/** `0 circle, 1 cross`: the first classes with their names. */
export function classesText(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMES).map((name, label) => `${label} ${name}`);
  return `${shown.join(", ")}${names.length > MOST_NAMES ? ", …" : ""}`;
}

/** @throws InputError naming the classes there are. */
export function chosenClasses(
  values: Values<typeof classOptions>,
  numClasses: number,
  given: ReadonlySet<string>,
  classNames: readonly string[] = [],
): number[] {
  if (values.class !== undefined) {
    refuseIgnored(given, "--class", ["classes"], "both say which classes are drawn");
    return [labelOf("--class", values.class, numClasses, classNames)];
  }
  const named = values.classes?.split(",").map((text) => labelOf("--classes", text, numClasses, classNames));
  return named ?? Array.from({ length: numClasses }, (_, label) => label);
}

/** A label for each image: the classes in turn. */
export const labelsInTurn = (classes: readonly number[], count: number): Int32Array =>
  Int32Array.from({ length: count }, (_, i) => classes[i % classes.length]!);

/** Digits are always a number: a class may be called by another one. */
function labelOf(flag: string, text: string, numClasses: number, classNames: readonly string[]): number {
  const named = classNames.indexOf(text.trim());
  if (named >= 0 && !/^\d+$/.test(text.trim())) return named;
  const label = /^\s*\d+\s*$/.test(text) ? Number(text) : Number.NaN;
  if (label < numClasses) return label;
  if (numClasses === imagenetClasses.length) return imagenetClass(text);
  if (classNames.length > 0) {
    throw new InputError(`${flag}: unknown class "${text.trim()}"; the model knows ${classesText(classNames)}`);
  }
  const known =
    numClasses <= 20 ? Array.from({ length: numClasses }, (_, k) => k).join(", ") : `0 to ${numClasses - 1}`;
  throw new InputError(`${flag}: unknown label "${text.trim()}"; the model knows ${known}`);
}
