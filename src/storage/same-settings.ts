/** The settings of work that was begun in a folder, compared with those of a command that finds it. */
import { InputError } from "../array/input-error.ts";

/** What two sets of settings differ in: by the name of a value, as `sampling.steps`, what it was and what it is now. */
export function settingChanges(found: unknown, wanted: unknown): ReadonlyMap<string, string> {
  const [was, is] = [leaves(found), leaves(wanted)];
  const names = [...new Set([...was.keys(), ...is.keys()])].filter((name) => was.get(name) !== is.get(name));
  return new Map(
    names.map((name) => [name, `${name}: was ${was.get(name) ?? "absent"}, now ${is.get(name) ?? "absent"}`]),
  );
}

/** Every value by its name, as JSON. */
function leaves(value: unknown, place = ""): Map<string, string> {
  if (value === undefined) return new Map();
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return new Map([[place, JSON.stringify(value)]]);
  }
  const within = (name: string) => (place === "" ? name : `${place}.${name}`);
  return new Map(Object.entries(value).flatMap(([name, inner]) => [...leaves(inner, within(name))]));
}

/** @throws InputError if anything is in `changes`; `where` holds `content` that was made with the settings of before. */
export function requireSameSettings(where: string, content: string, changes: Iterable<string>, advice = ""): void {
  const listed = [...changes];
  if (listed.length === 0) return;
  throw new InputError(
    `${where} holds ${content} with other settings (${listed.join("; ")}); ` +
      `repeat its settings to resume, choose another \`out\`, or delete the folder to start over${advice}`,
  );
}
