/** What lengthening a run does to its schedules, in one line. */
import type { SchedulePlan } from "../training/rates.ts";

type SchedulesAt = (plan: SchedulePlan, k: number) => Readonly<Record<string, number>>;

const shown = (x: number): string => String(Number(x.toPrecision(4)));

/** For a run that resumes after `step` completed steps under another plan; undefined where no schedule changes. */
export function extensionText(
  before: SchedulePlan,
  now: SchedulePlan,
  step: number,
  schedulesAt: SchedulesAt,
): string | undefined {
  const [old, next] = [schedulesAt(before, step), schedulesAt(now, step)];
  if (now.scheduleSteps !== undefined) {
    const last = Object.entries(schedulesAt(now, now.steps)).map(([name, x]) => `${name} ${shown(x)}`);
    return `--extend keep: schedules were planned for ${now.scheduleSteps} steps and then keep their last values (${last.join(", ")})`;
  }
  const jumps = Object.keys(next).filter((name) => shown(old[name]!) !== shown(next[name]!));
  if (jumps.length === 0) return undefined;
  const each = jumps.map((name) => `${name} jumps from ${shown(old[name]!)} to ${shown(next[name]!)}`);
  return `--extend rewind: schedules are recomputed for ${now.steps} steps, so in step ${step + 1} ${each.join(", ")}; --extend keep keeps the last values instead`;
}
