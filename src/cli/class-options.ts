/** Of which classes a command draws images. */
import { InputError } from "../array/input-error.ts";
import { imagenetClass } from "../data/class-names.ts";
import { imagenetClasses } from "../data/imagenet-classes.ts";
import { type OptionTable, refuseIgnored, type Values } from "./option.ts";

export const classOptions = {
  classes: { kind: "text", help: "classes in turn, as 0,1,2 or, of ImageNet's, by name [all of the model's]" },
  class: { kind: "text", help: 'one class, as 207 or "golden retriever"' },
} as const satisfies OptionTable;

/** @throws InputError naming the classes there are. */
export function chosenClasses(
  values: Values<typeof classOptions>,
  numClasses: number,
  given: ReadonlySet<string>,
): number[] {
  if (values.class !== undefined) {
    refuseIgnored(given, "--class", ["classes"], "both say which classes are drawn");
    return [labelOf("--class", values.class, numClasses)];
  }
  const named = values.classes?.split(",").map((text) => labelOf("--classes", text, numClasses));
  return named ?? Array.from({ length: numClasses }, (_, label) => label);
}

/** A label for each image: the classes in turn. */
export const labelsInTurn = (classes: readonly number[], count: number): Int32Array =>
  Int32Array.from({ length: count }, (_, i) => classes[i % classes.length]!);

function labelOf(flag: string, text: string, numClasses: number): number {
  const label = /^\s*\d+\s*$/.test(text) ? Number(text) : Number.NaN;
  if (label < numClasses) return label;
  if (numClasses === imagenetClasses.length) return imagenetClass(text);
  const known =
    numClasses <= 20 ? Array.from({ length: numClasses }, (_, k) => k).join(", ") : `0 to ${numClasses - 1}`;
  throw new InputError(`${flag}: unknown label "${text.trim()}"; the model knows ${known}`);
}
