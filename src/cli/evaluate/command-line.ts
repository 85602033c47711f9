/** The command as it was given, for a page that says how to repeat it. */
import { flagOf } from "../option.ts";

/** What a person would type: `argument` and the options that were named. */
export function commandLine(
  name: string,
  argument: string,
  values: Readonly<Record<string, unknown>>,
  given: ReadonlySet<string>,
): string {
  const words = Object.entries(values)
    .filter(([option]) => given.has(option))
    .map(([option, value]) => (value === true ? flagOf(option) : `${flagOf(option)} ${quoted(String(value))}`));
  return [`tinyfusion ${name}`, quoted(argument), ...words].join(" ");
}

const quoted = (text: string): string => (/^[\w./,:@+=-]+$/.test(text) ? text : JSON.stringify(text));
