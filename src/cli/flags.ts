/** Names of settings as a command line writes them: `learningRate` is `--learning-rate`, in a config file either. */
import { withoutSecrets } from "../storage/download/location.ts";
import { SettingError, type SettingTable, unknownText } from "../tasks/settings.ts";

/** `learningRate` as a flag: `--learning-rate`. */
export const flagOf = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

const camelCase = (key: string): string => key.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** A message of a task, with the flags of the settings that it names; `positional` ones are shown as `<file>`. */
export const withFlags = (text: string, positional: readonly string[] = []): string =>
  text.replaceAll(/`([a-z][A-Za-z]*)`/g, (_, name: string) => (positional.includes(name) ? `<${name}>` : flagOf(name)));

/**
 * The settings that the keys of a config file name.
 * @throws SettingError for an unknown key, with the nearest known one, or two keys for one setting.
 */
export function settingsOfFile(
  table: SettingTable,
  file: Readonly<Record<string, unknown>>,
  where: string,
): Record<string, unknown> {
  const keys = new Map<string, string>();
  for (const key of Object.keys(file)) {
    const name = camelCase(key);
    if (!Object.hasOwn(table, name)) throw new SettingError(`${where}: ${unknownText(`key ${key}`, name, table)}`);
    const first = keys.get(name);
    if (first !== undefined)
      throw new SettingError(`${where}: ${first} and ${key} are the same option; keep one of them`);
    keys.set(name, key);
  }
  return Object.fromEntries(Array.from(keys, ([name, key]) => [name, file[key]]));
}

/**
 * What a person types into a shell to give the command `name` these settings again. Addresses are shown without their
 * queries, which may be signatures.
 */
export function commandLine(
  name: string,
  positional: readonly string[],
  given: Readonly<Record<string, unknown>>,
): string {
  const options = Object.entries(given)
    .filter(([option, value]) => !positional.includes(option) && value !== false && value !== undefined)
    .map(([option, value]) => (value === true ? flagOf(option) : `${flagOf(option)} ${shellWord(String(value))}`));
  return [`tinyfusion ${name}`, ...positional.map((option) => shellWord(String(given[option]))), ...options].join(" ");
}

/** Single quotes, in which a shell expands nothing. */
function shellWord(given: string): string {
  const text = withoutSecrets(given);
  return /^[\w./,:@+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
