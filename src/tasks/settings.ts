/** Settings of a task as data: one table gives the types, defaults, checks, flags and help. */

interface SettingBase {
  readonly help: string;
}

/** One setting; `fallback` is its default, absent where the setting may be absent. `help` is a noun phrase. */
export type Setting =
  | (SettingBase & {
      readonly kind: "integer" | "number";
      readonly fallback?: number;
      readonly min?: number;
      readonly max?: number;
      /** The value is larger than this one. */
      readonly above?: number;
      /** 0 turns it off, and so do the other words that people write for that: inf, none, off. */
      readonly zeroIsOff?: boolean;
    })
  | (SettingBase & { readonly kind: "text"; readonly fallback?: string })
  /** A folder that the task writes: a name like a file's is refused. */
  | (SettingBase & { readonly kind: "folder"; readonly fallback?: string })
  /** A file or folder of weights: a path, `hf:owner/name` or an https address, which is downloaded. */
  | (SettingBase & { readonly kind: "weights" })
  | (SettingBase & {
      readonly kind: "choice";
      readonly choices: readonly string[];
      readonly fallback?: string;
      /** What the flag means without a value; absent where it needs one. */
      readonly bare?: string;
    })
  | (SettingBase & { readonly kind: "flag" });

export type SettingTable = Readonly<Record<string, Setting>>;

type ValueOf<O extends Setting> = O extends { kind: "flag" }
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

/** The values of all settings of a table. */
export type Values<T extends SettingTable> = { readonly [K in keyof T]: ValueOf<T[K]> };

/** The settings that a caller names; the others have their defaults. */
export type Given<T extends SettingTable> = { readonly [K in keyof T]?: ValueOf<T[K]> | undefined };

/**
 * Settings that do not exist, do not fit or exclude each other. The message names a setting as `` `batchSize` ``, which the
 * command line shows as `--batch-size`; its exit code is 2.
 */
export class SettingError extends Error {
  override readonly name = "SettingError";
}

/** How a message names a setting. */
export const quoted = (name: string): string => `\`${name}\``;

/**
 * Checks one value, given as a number or flag, or as text.
 * @throws SettingError saying what was expected.
 */
function checkedValue(name: string, setting: Setting, value: unknown): number | string | boolean {
  const wrong = (expected: string) => {
    const found = typeof value === "string" ? value || '""' : JSON.stringify(value);
    return new SettingError(`${quoted(name)} expects ${expected}, got ${found}`);
  };
  if (setting.kind === "flag") {
    if (typeof value !== "boolean") throw wrong("true or false");
    return value;
  }
  if (setting.kind === "choice") {
    if (value === true && setting.bare !== undefined) return setting.bare;
    if (!setting.choices.includes(String(value))) throw wrong(`one of ${setting.choices.join(", ")}`);
    return String(value);
  }
  if (setting.kind === "integer" || setting.kind === "number") return checkedNumber(setting, value, wrong);
  if ((typeof value !== "string" && typeof value !== "number") || value === "") throw wrong("text");
  return String(value);
}

function checkedNumber(
  setting: Setting & { kind: "integer" | "number" },
  value: unknown,
  wrong: (expected: string) => SettingError,
): number {
  const { kind, min, max, above, zeroIsOff } = setting;
  if (zeroIsOff && (value === false || /^([+.]?inf(inity)?|none|off)$/i.test(String(value)))) return 0;
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number !== "number" || !Number.isFinite(number))
    throw wrong(kind === "integer" ? "a whole number" : "a number");
  if (kind === "integer" && !Number.isSafeInteger(number)) throw wrong("a whole number");
  if (above !== undefined && number <= above) throw wrong(`more than ${above}`);
  if (min !== undefined && number < min) throw wrong(`at least ${min}`);
  if (max !== undefined && number > max) throw wrong(`at most ${max}`);
  return number;
}

/**
 * All values: those given over the defaults.
 * @throws SettingError for an unknown name, with the nearest known one, or a value that does not fit.
 */
export function resolveValues<T extends SettingTable>(table: T, given: Readonly<Record<string, unknown>>): Values<T> {
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(table, name)) throw new SettingError(unknownText(`setting ${quoted(name)}`, name, table));
  }
  const values = Object.entries(table).map(([name, setting]) => {
    const value = given[name];
    if (value !== undefined && value !== null) return [name, checkedValue(name, setting, value)];
    return [name, setting.kind === "flag" ? false : "fallback" in setting ? setting.fallback : undefined];
  });
  return Object.fromEntries(values);
}

/** "unknown key `bachSize`; did you mean …?" */
export function unknownText(what: string, name: string, table: SettingTable): string {
  const nearest = nearestName(name, Object.keys(table));
  return `unknown ${what}${nearest === undefined ? "" : `; did you mean ${nearest}?`}`;
}

/** The settings that a caller named; a flag that is off counts as not named. */
export function givenNames(given: Readonly<Record<string, unknown>>): ReadonlySet<string> {
  const named = Object.entries(given).filter(([, value]) => value !== undefined && value !== null && value !== false);
  return new Set(named.map(([name]) => name));
}

/** @throws SettingError for the first of `ignored` that was given beside `by`, which makes it mean nothing. */
export function refuseIgnored(given: ReadonlySet<string>, by: string, ignored: readonly string[], why: string): void {
  const found = ignored.find((name) => given.has(name));
  if (found !== undefined) throw new SettingError(`${by} and ${quoted(found)} exclude each other: ${why}`);
}

/** @throws SettingError if the option was not given. */
export function required<V>(name: string, value: V | undefined): V {
  if (value === undefined) throw new SettingError(`${quoted(name)} is required`);
  return value;
}

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
