/** A lock in the work folder lets one process at a time compute a trial; the folder of results holds nothing but results. */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { InputError, lockFolder, lockHolder } from "tinyfusion";
import type { Trial } from "./trial.ts";

/**
 * Takes a trial for this process, among those with the same work folder; undefined while another one has it, or while it
 * would disturb a measurement of time: a timed trial is computed while no other one is.
 * @returns a function that releases the trial.
 */
export function lockTrial(work: string, trial: Trial): (() => void) | undefined {
  const [shared, timed] = [join(work, "at-work"), join(work, "timed")];
  const own = trial.isTimed ? timed : join(shared, trial.file.replace(/\.json$/, ""));
  const release = unlessHeld(own, lockFolder);
  if (!release) return undefined;
  // Locked before checking: of two processes that come at once, at least one sees the other.
  if (!isAnyHeld(trial.isTimed ? shared : timed)) return release;
  release();
  return undefined;
}

/** Whether a process holds the folder or one within. */
const isAnyHeld = (folder: string): boolean =>
  existsSync(folder) &&
  (lockHolder(folder) !== undefined ||
    readdirSync(folder, { withFileTypes: true }).some((one) => one.isDirectory() && isAnyHeld(join(folder, one.name))));

/** What `take` returns, which locks the folder; undefined while another process holds it. */
export function unlessHeld<T>(folder: string, take: (folder: string) => T): T | undefined {
  mkdirSync(folder, { recursive: true });
  if (lockHolder(folder)) return undefined;
  try {
    return take(folder);
  } catch (error) {
    // Another process came first.
    if (error instanceof InputError && lockHolder(folder)) return undefined;
    throw error;
  }
}

/** Milliseconds between two checks for results of other processes. */
const CHECK_AGAIN = 1000;

/** Waits before the next check. @throws the signal's reason if it is aborted. */
export async function untilNextCheck(signal: AbortSignal): Promise<void> {
  await delay(CHECK_AGAIN, undefined, { signal }).catch(() => signal.throwIfAborted());
}
