/** One process at a cell: a lock in the work folder, so that the evidence holds nothing but results. */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { InputError, lockFolder, lockHolder } from "tinyfusion";
import type { Cell } from "./trial.ts";

/**
 * Takes a cell for this process, among those with the same work folder; undefined while another one has it, or while it
 * would disturb a measurement of time: nobody is at any other cell while one is at a timed one.
 * @returns a function that gives the cell back.
 */
export function lockCell(work: string, cell: Cell): (() => void) | undefined {
  const [shared, timed] = [join(work, "at-work"), join(work, "timed")];
  const own = cell.isTimed ? timed : join(shared, cell.file.replace(/\.json$/, ""));
  const release = unlessHeld(own, lockFolder);
  if (!release) return undefined;
  // The claim stands before the look: of two processes that come at once, at least one sees the other.
  if (!isAnyHeld(cell.isTimed ? shared : timed)) return release;
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
    // Another process came first between the two looks.
    if (error instanceof InputError && lockHolder(folder)) return undefined;
    throw error;
  }
}

/** Milliseconds between two looks at what other processes have done. */
const LOOK_AGAIN = 1000;

/** Waits before the next look. @throws the signal's reason if it is aborted. */
export async function untilNextLook(signal: AbortSignal): Promise<void> {
  await delay(LOOK_AGAIN, undefined, { signal }).catch(() => signal.throwIfAborted());
}
