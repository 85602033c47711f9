/** The settings of a run on disk against those of a command: what may differ, and what extending a run means. */
import { requireSameSettings, settingChanges } from "../storage/same-settings.ts";
import type { SchedulePlan } from "./rates.ts";

export type RunSettings = Readonly<Record<string, unknown>>;

/**
 * How schedules continue in a run that is lengthened. `rewind`: as if it had been planned for the new number of steps from
 * the start. `keep`: as it was planned, and from the old end on at their last value.
 */
export type Extension = "rewind" | "keep";

/** What a run may differ in when it is found again. */
export interface AcquireOptions {
  /** Allows more steps. */
  readonly extend?: Extension | undefined;
  /**
   * Settings that are locations, with the name of the setting that records the content. A location may
   * differ as long as the content does not.
   */
  readonly locations?: Readonly<Record<string, string>>;
  /** Settings that were called otherwise: old name → name. */
  readonly renamed?: Readonly<Record<string, string>>;
}

/** A folder that was acquired. */
export interface Acquired {
  /** What is different and costs bit-exactness only: threads, device and versions. */
  readonly warnings: readonly string[];
  /** The steps that schedules were planned for, where `keep` has lengthened the run: now or before. */
  readonly scheduleSteps?: number;
  /** The plan before it was lengthened; absent if it was not. */
  readonly extended?: SchedulePlan;
}

/** The settings to write, and how they differ from those of before. */
export interface Comparison extends Acquired {
  readonly settings: RunSettings;
}

/** @throws InputError naming every setting that must not differ. `now` is as it is after JSON. */
export function compareSettings(
  path: string,
  found: RunSettings,
  now: RunSettings,
  { extend, locations = {}, renamed = {} }: AcquireOptions,
): Comparison {
  const before: RunSettings = Object.fromEntries(
    Object.entries(found).map(([name, value]) => [renamed[name] ?? name, value]),
  );
  const [oldSteps, newSteps] = [Number(before.steps), Number(now.steps)];
  const isLonger = extend !== undefined && newSteps >= oldSteps;
  const planned = before.scheduleSteps === undefined ? {} : { scheduleSteps: Number(before.scheduleSteps) };
  const changes = [...settingChanges(before, now)].filter(([name]) => name !== "scheduleSteps");
  const isSoft = (name: string) => /^(threads|device|versions)(\.|$)/.test(name);
  const isSettled = (value: string) => {
    const name = value.split(".")[0]!;
    const content = locations[name];
    // A run from before its content was recorded is known by the location alone.
    if (content !== undefined) return before[content] !== undefined;
    return isSoft(name) || (name === "steps" && isLonger) || (isContent(name, locations) && before[name] === undefined);
  };
  const changed = changes.filter(([name]) => !isSettled(name));
  requireSameSettings(
    path,
    "a run",
    changed.map(([name, line]) => `${line}${placesOf(name.split(".")[0]!, now, locations)}`),
    !extend && changed.some(([name]) => name === "steps") ? "; to lengthen the run, add `extend`" : "",
  );
  const warnings = changes.flatMap(([name, line]) => (isSoft(name) ? [line] : []));
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

/** Where a content was found, for a setting that is one. */
function placesOf(name: string, now: RunSettings, locations: Readonly<Record<string, string>>): string {
  const places = Object.keys(locations).filter((place) => locations[place] === name && now[place] !== undefined);
  return places.length > 0 ? ` in ${places.map((place) => `${place} ${now[place]}`).join(", ")}` : "";
}
