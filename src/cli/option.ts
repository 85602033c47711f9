/** Command options as data: one table gives the flags, the help, the keys of a config file and the checks. */

interface OptionBase {
  readonly help: string;
}

/** One option; `fallback` is its default, absent where the option may be absent. */
export type Option =
  | (OptionBase & {
      readonly kind: "integer" | "number";
      readonly fallback?: number;
      readonly min?: number;
      readonly max?: number;
      /** The value is larger than this one. */
      readonly above?: number;
      /** 0 turns it off, and so do the other words that people write for that: inf, none, off. */
      readonly zeroIsOff?: boolean;
    })
  | (OptionBase & { readonly kind: "text"; readonly fallback?: string })
  /** A folder that the command writes: a name like a file's is refused. */
  | (OptionBase & { readonly kind: "folder"; readonly fallback?: string })
  /** A file or folder of weights: a path, `hf:owner/name` or an address. The command gets a path. */
  | (OptionBase & { readonly kind: "weights" })
  | (OptionBase & {
      readonly kind: "choice";
      readonly choices: readonly string[];
      readonly fallback?: string;
      /** What the option means without a value; absent where it needs one. */
      readonly bare?: string;
    })
  | (OptionBase & { readonly kind: "flag" });

export type OptionTable = Readonly<Record<string, Option>>;

type ValueOf<O extends Option> = O extends { kind: "flag" }
  ? boolean
  : (
        O extends { kind: "integer" | "number" }
          ? number
          : O extends { kind: "choice"; choices: readonly (infer C)[] }
            ? C
            : string
      ) extends infer V
    ? O extends { fallback: unknown }
      ? V
      : V | undefined
    : never;

/** The values of a table's options. */
export type Values<T extends OptionTable> = { readonly [K in keyof T]: ValueOf<T[K]> };

/** A mistake in how a command was called: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** `learningRate` as it is written on a command line: `--learning-rate`. */
export const flagOf = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/**
 * Checks one value, given as text (a flag) or as what a YAML file holds.
 * @throws UsageError saying what was expected.
 */
function checkedValue(name: string, option: Option, value: unknown): number | string | boolean {
  const wrong = (expected: string) =>
    new UsageError(
      `${flagOf(name)} expects ${expected}, got ${typeof value === "string" ? value || '""' : JSON.stringify(value)}`,
    );
  if (option.kind === "flag") {
    if (typeof value !== "boolean") throw wrong("true or false");
    return value;
  }
  if (option.kind === "choice") {
    if (value === true && option.bare !== undefined) return option.bare;
    if (!option.choices.includes(String(value))) throw wrong(`one of ${option.choices.join(", ")}`);
    return String(value);
  }
  if (option.kind === "text" || option.kind === "folder" || option.kind === "weights") {
    if ((typeof value !== "string" && typeof value !== "number") || value === "") throw wrong("text");
    return String(value);
  }
  if (option.zeroIsOff && (value === false || /^([+.]?inf(inity)?|none|off)$/i.test(String(value)))) return 0;
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number !== "number" || !Number.isFinite(number))
    throw wrong(option.kind === "integer" ? "a whole number" : "a number");
  if (option.kind === "integer" && !Number.isSafeInteger(number)) throw wrong("a whole number");
  const { min, max, above } = option;
  if (above !== undefined && number <= above) throw wrong(`more than ${above}`);
  if (min !== undefined && number < min) throw wrong(`at least ${min}`);
  if (max !== undefined && number > max) throw wrong(`at most ${max}`);
  return number;
}

/**
 * Values from flags over values from a config file over defaults.
 * @throws UsageError for an unknown key, naming the nearest known one, two keys for one option, or a value that does not
 *   fit.
 */
export function resolveValues<T extends OptionTable>(
  table: T,
  flags: Readonly<Record<string, unknown>>,
  file: Readonly<Record<string, unknown>> = {},
  where = "config file",
): Values<T> {
  for (const key of Object.keys(file)) {
    if (!Object.hasOwn(table, camelCase(key))) {
      const nearest = nearestName(camelCase(key), Object.keys(table));
      throw new UsageError(`${where}: unknown key ${key}${nearest ? `; did you mean ${nearest}?` : ""}`);
    }
  }
  refuseRepeated(file, where);
  const named = Object.fromEntries(Object.entries(file).map(([key, value]) => [camelCase(key), value]));
  const values = Object.entries(table).map(([name, option]) => {
    const given = flags[name] ?? named[name];
    if (given !== undefined && given !== null) return [name, checkedValue(name, option, given)];
    return [name, option.kind === "flag" ? false : "fallback" in option ? option.fallback : undefined];
  });
  return Object.fromEntries(values);
}

/** `learning-rate` and `learningRate` are one option: which of both is meant cannot be known. */
function refuseRepeated(file: Readonly<Record<string, unknown>>, where: string): void {
  const keys = Object.keys(file);
  const second = keys.find((key, i) => keys.findIndex((other) => camelCase(other) === camelCase(key)) < i);
  if (second === undefined) return;
  const first = keys.find((key) => camelCase(key) === camelCase(second));
  throw new UsageError(`${where}: ${first} and ${second} are the same option; keep one of them`);
}

/** The options that flags or a config file name. */
export function givenNames(
  flags: Readonly<Record<string, unknown>>,
  file: Readonly<Record<string, unknown>> = {},
): ReadonlySet<string> {
  const named = [...Object.entries(flags), ...Object.entries(file)];
  return new Set(named.filter(([, value]) => value !== null && value !== false).map(([key]) => camelCase(key)));
}

/** @throws UsageError for the first of `ignored` that was given beside `by`, which makes it mean nothing. */
export function refuseIgnored(given: ReadonlySet<string>, by: string, ignored: readonly string[], why: string): void {
  const found = ignored.find((name) => given.has(name));
  if (found !== undefined) throw new UsageError(`${by} and ${flagOf(found)} exclude each other: ${why}`);
}

/** @throws UsageError if the option was not given. */
export function required<V>(name: string, value: V | undefined): V {
  if (value === undefined) throw new UsageError(`${flagOf(name)} is required`);
  return value;
}

const camelCase = (key: string): string => key.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** The name with the fewest edits to `name`, if it is close. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const ranked = known.map((candidate) => [edits(name, candidate), candidate] as const).sort((a, b) => a[0] - b[0]);
  const [best] = ranked;
  return best && best[0] <= Math.max(2, name.length / 3) ? best[1] : undefined;
}

/** Levenshtein distance. */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
