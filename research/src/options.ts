/** The options of `study`, and which trials they choose. */
import { Command, InvalidArgumentError } from "commander";
import { InputError } from "tinyfusion";
import { inOrder, type Study, type Variant } from "./studies/study.ts";
import type { Find, Trial } from "./trials/trial.ts";

/** A mistake in how the command was called: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface StudyValues {
  readonly out: string;
  readonly only?: string | undefined;
  readonly seeds?: string | undefined;
  readonly dryRun?: true | undefined;
  readonly report?: true | undefined;
  readonly tiny?: true | undefined;
  readonly data: string;
  readonly work: string;
  readonly threads: number;
}

/** The command line: `study NAME` with its options. */
export function studyCommand(): Command {
  return new Command("study")
    .description("Runs a comparison of pruners or settings, trial by trial, and reports what it found.")
    .argument("<name>", "a study, all, or report, which renders what is there")
    .option("--out <folder>", "results of all studies", "research/evidence")
    .option("--only <variants>", "variants by comma, instead of all")
    .option("--seeds <seeds>", "some of the planned seeds, as 0-7 or 0,2")
    .option("--dry-run", "list missing trials with estimated times; writes nothing")
    .option("--report", "render what is there; computes nothing")
    .option("--tiny", "a few steps of everything, in an --out of its own")
    .option("--data <folder>", "Fashion-MNIST's four IDX files", "/usr/share/datasets/fashion-mnist")
    .option("--work <folder>", "weights that later trials need; shared by processes", "runs/studies")
    .option("--threads <n>", "threads of the engine", threadsOf, 2);
}

function threadsOf(text: string): number {
  const threads = Number(text);
  if (Number.isInteger(threads) && threads >= 1 && threads <= 1024) return threads;
  throw new InvalidArgumentError("expected a whole number from 1 to 1024.");
}

/** The studies that a name means: one, or `all`. @throws UsageError for any other name, listing them. */
export function studiesNamed(name: string, studies: readonly Study[]): readonly Study[] {
  const names = [...studies.map((study) => study.name), "all", "report"];
  if (name === "all") return studies;
  const found = studies.find((study) => study.name === name);
  if (found) return [found];
  throw new UsageError(`expected one of ${names.join(", ")}, got ${name}`);
}

/**
 * The trials that `--only` and `--seeds` leave, in the order in which they are computed.
 * @throws InputError for a variant that the study does not have.
 */
export function chosenTrials(study: Study, { only, seeds }: StudyValues, find: Find): Trial[] {
  const variants = study.variants(find);
  const wanted = only?.split(",").map((name) => name.trim());
  const unknown = wanted?.find((name) => !variants.some((variant) => variant.name === name));
  if (unknown !== undefined) {
    const names = variants.map(({ name }) => name);
    throw new InputError(
      `--only: expected variants of ${study.name} (${names.join(", ")}), got ${JSON.stringify(unknown)}`,
    );
  }
  const some: readonly Variant[] = wanted ? variants.filter(({ name }) => wanted.includes(name)) : variants;
  const chosen = seeds === undefined ? undefined : new Set(seedsIn(seeds));
  return inOrder(some).filter(({ seed }) => chosen === undefined || chosen.has(seed));
}

/** @throws InputError if `--only` and `--seeds` leave no trial. */
export function requireSome(trials: readonly Trial[], name: string, { only, seeds }: StudyValues): void {
  if (trials.length > 0) return;
  const variants = only === undefined ? "" : ` of ${only}`;
  throw new InputError(
    `--seeds: expected seeds that ${name} plans trials${variants} for, got ${seeds}, which are none of them`,
  );
}

/** @throws UsageError for anything but numbers and ranges. */
function seedsIn(text: string): number[] {
  return text.split(",").flatMap((part) => {
    const match = /^\s*(\d{1,6})(?:-(\d{1,6}))?\s*$/.exec(part);
    const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
    if (!match || last < first || last - first > 1000) {
      throw new UsageError(`--seeds expects seeds as 0-7 or 0,2, got ${JSON.stringify(text)}`);
    }
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}
