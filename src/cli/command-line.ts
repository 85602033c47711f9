/** The command as it was given, for a page that says how to repeat it. */
import { withoutSecrets } from "../storage/download/location.ts";
import { flagOf } from "./flags.ts";

/** A call as it was typed, with addresses of weights where a command gets paths. */
export interface Typed {
  readonly values: Readonly<Record<string, unknown>>;
  readonly positional: readonly (string | undefined)[];
}

/**
 * What a person types into a shell to call the command `name` again: its arguments and the options that were named.
 * Addresses are shown without their queries, which may be signatures.
 */
export function commandLine(
  name: string,
  { given, typed }: { readonly given: ReadonlySet<string>; readonly typed: Typed },
): string {
  const options = Object.entries(typed.values)
    .filter(([option]) => given.has(option))
    .map(([option, value]) => (value === true ? flagOf(option) : `${flagOf(option)} ${quoted(String(value))}`));
  const texts = typed.positional.flatMap((text) => (text === undefined ? [] : quoted(text)));
  return [`tinyfusion ${name}`, ...texts, ...options].join(" ");
}

/** Single quotes, in which a shell expands nothing. */
function quoted(given: string): string {
  const text = withoutSecrets(given);
  return /^[\w./,:@+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
