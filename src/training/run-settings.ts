/** The settings of a run on disk against those of a command: what may differ, and what extending a run means. */
import { InputError } from "../array/input-error.ts";
import type { SchedulePlan } from "./rates.ts";

export type RunSettings = Readonly<Record<string, unknown>>;

/**
 * How schedules continue in a run that is lengthened. `rewind`: as if it had been planned for the new number of steps from
 * the start. `keep`: as it was planned, and from the old end on at their last value.
 */
export type Extension = "rewind" | "keep";

/** What a run may differ in when it is found again. */
export interface ClaimOptions {
  /** Allows more steps. */
  readonly extend?: Extension | undefined;
  /**
   * Settings that only say where something is, with the name of the setting that records its content. A location may
   * differ as long as the content does not.
   */
  readonly locations?: Readonly<Record<string, string>>;
}

/** A folder that was claimed. */
export interface Claimed {
  /** What is different and costs bit-exactness only: threads and versions. */
  readonly warnings: readonly string[];
  /** The steps that schedules were planned for, where `keep` has lengthened the run: now or before. */
  readonly scheduleSteps?: number;
  /** The plan before it was lengthened; absent if it was not. */
  readonly extended?: SchedulePlan;
}

/** The settings to write, and how they differ from those of before. */
export interface Comparison extends Claimed {
  readonly settings: RunSettings;
}

/** @throws InputError naming every setting that must not differ. `now` is as it is after JSON. */
export function compareSettings(
  path: string,
  before: RunSettings,
  now: RunSettings,
  { extend, locations = {} }: ClaimOptions,
): Comparison {
  const [oldSteps, newSteps] = [Number(before.steps), Number(now.steps)];
  const isLonger = extend !== undefined && newSteps >= oldSteps;
  const planned = before.scheduleSteps === undefined ? {} : { scheduleSteps: Number(before.scheduleSteps) };
  const differences = Object.keys({ ...before, ...now }).filter(
    (name) => name !== "scheduleSteps" && JSON.stringify(before[name]) !== JSON.stringify(now[name]),
  );
  const isSoft = (name: string) => name === "threads" || name === "versions";
  const soft = differences.filter(isSoft);
  const isSettled = (name: string) => {
    const content = locations[name];
    // A run from before its content was recorded is known by the location alone.
    if (content !== undefined) return before[content] !== undefined && !differences.includes(content);
    return isSoft(name) || (name === "steps" && isLonger) || (isContent(name, locations) && before[name] === undefined);
  };
  const changed = differences.filter((name) => !isSettled(name));
  if (changed.length > 0) {
    const list = listed(changed, before, now, locations);
    throw new InputError(
      `${path} holds a run with other settings (${list.join("; ")}). ` +
        `Repeat its settings to resume it, choose another --out, or delete the folder to start over.` +
        (!extend && changed.includes("steps") ? " To lengthen the run, add --extend." : ""),
    );
  }
  const warnings = soft.map((name) => difference(name, before, now));
  if (!isLonger || newSteps === oldSteps) return { settings: { ...now, ...planned }, ...planned, warnings };
  const { extended, ...plan } = extensionOf(before, extend);
  return { settings: { ...now, ...plan }, ...plan, warnings, extended };
}

/** The planned steps of a run, and those of its schedules once it is lengthened. */
export function extensionOf(
  before: RunSettings,
  extend: Extension,
): { readonly extended: SchedulePlan; readonly scheduleSteps?: number } {
  const steps = Number(before.steps);
  const planned = before.scheduleSteps === undefined ? {} : { scheduleSteps: Number(before.scheduleSteps) };
  return { ...(extend === "keep" && { scheduleSteps: steps, ...planned }), extended: { steps, ...planned } };
}

const isContent = (name: string, locations: Readonly<Record<string, string>>): boolean =>
  Object.values(locations).includes(name);

const difference = (name: string, before: RunSettings, now: RunSettings): string =>
  `${name}: was ${JSON.stringify(before[name])}, now ${JSON.stringify(now[name])}`;

/** What differs; a content is named with where it was found, whose change says nothing more. */
function listed(
  changed: readonly string[],
  before: RunSettings,
  now: RunSettings,
  locations: Readonly<Record<string, string>>,
): string[] {
  const named = changed.filter((name) => !changed.includes(locations[name] ?? ""));
  return named.map((name) => {
    const where = Object.keys(locations).filter((place) => locations[place] === name && now[place] !== undefined);
    const found = where.map((place) => `${place} ${now[place]}`).join(", ");
    return `${difference(name, before, now)}${found ? ` in ${found}` : ""}`;
  });
}
