/** The options of `tinyfusion study`, and which cells they choose. */
import { InputError } from "../array/input-error.ts";
import type { Cell, Find } from "../studies/cells/cell.ts";
import { type Arm, inOrder, type Study } from "../studies/definitions/study.ts";
import { nearestName, SettingError, type SettingTable, type Values } from "../tasks/settings.ts";
import { threadsSetting } from "../tasks/shared-settings.ts";

export const studyOptions = {
  out: {
    kind: "folder",
    fallback: "docs/evidence",
    help: "folder of all studies; cells that it holds are not computed again",
  },
  only: { kind: "text", help: "arms by comma, instead of all" },
  seeds: { kind: "text", help: "of the seeds that are planned only these, as 0-7 or 0,2" },
  dryRun: { kind: "flag", help: "list cells and what they take, by a pilot; writes nothing" },
  report: { kind: "flag", help: "render what is there, and say what is missing; computes nothing" },
  tiny: {
    kind: "flag",
    help: "a few steps of everything: all parts run, no number means anything; needs an --out of its own",
  },
  data: {
    kind: "text",
    fallback: "/usr/share/datasets/fashion-mnist",
    help: "fashion: folder of Fashion-MNIST's four IDX files",
  },
  work: {
    kind: "text",
    fallback: "runs/studies",
    help: "folder for weights that a later cell needs; processes with the same one share the cells",
  },
  threads: threadsSetting,
} as const satisfies SettingTable;

export type StudyValues = Values<typeof studyOptions>;

/** The studies that a name means: one, or `all`. @throws SettingError for any other name, listing them. */
export function studiesNamed(name: string | undefined, studies: readonly Study[]): readonly Study[] {
  const names = [...studies.map((study) => study.name), "all", "report"];
  if (name === "all") return studies;
  const found = studies.find((study) => study.name === name);
  if (found) return [found];
  const nearest = name === undefined ? undefined : nearestName(name, names);
  const guess = nearest ? `; did you mean ${nearest}?` : "";
  throw new SettingError(`study: expected one of ${names.join(", ")}, got ${name ?? "none"}${guess}`);
}

/**
 * The cells that `--only` and `--seeds` leave, in the order in which they are computed.
 * @throws InputError for an arm that the study does not have.
 */
export function chosenCells(study: Study, { only, seeds }: StudyValues, find: Find): Cell[] {
  const arms = study.arms(find);
  const wanted = only?.split(",").map((name) => name.trim());
  const unknown = wanted?.find((name) => !arms.some((arm) => arm.name === name));
  if (unknown !== undefined) {
    const names = arms.map(({ name }) => name);
    throw new InputError(
      `--only: expected arms of ${study.name} (${names.join(", ")}), got ${JSON.stringify(unknown)}`,
    );
  }
  const some: readonly Arm[] = wanted ? arms.filter(({ name }) => wanted.includes(name)) : arms;
  const chosen = seeds === undefined ? undefined : new Set(seedsIn(seeds));
  return inOrder(some).filter(({ seed }) => chosen === undefined || chosen.has(seed));
}

/** @throws InputError if `--only` and `--seeds` leave no cell. */
export function requireSome(cells: readonly Cell[], name: string, { only, seeds }: StudyValues): void {
  if (cells.length > 0) return;
  const arms = only === undefined ? "" : ` of ${only}`;
  throw new InputError(
    `--seeds: expected seeds that ${name} plans cells${arms} for, got ${seeds}, which are none of them`,
  );
}

/** @throws SettingError for anything but numbers and ranges. */
function seedsIn(text: string): number[] {
  return text.split(",").flatMap((part) => {
    const match = /^\s*(\d{1,6})(?:-(\d{1,6}))?\s*$/.exec(part);
    const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
    if (!match || last < first || last - first > 1000) {
      throw new SettingError(`--seeds expects seeds as 0-7 or 0,2, got ${JSON.stringify(text)}`);
    }
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}
