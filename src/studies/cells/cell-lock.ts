/** One process at a cell: a lock in the work folder, so that the evidence holds nothing but results. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { makeFolder } from "../../storage/atomic-write.ts";
import { lockFolder, lockHolder } from "../../storage/lock.ts";
import type { Cell } from "./cell.ts";

/**
 * Takes a cell for this process, among those with the same work folder; undefined while another one has it.
 * @returns a function that gives the cell back.
 */
export function lockCell(work: string, cell: Cell): (() => void) | undefined {
  const folder = join(work, "at-work", cell.file.replace(/\.json$/, ""));
  makeFolder(folder);
  if (lockHolder(folder)) return undefined;
  try {
    return lockFolder(folder);
  } catch (error) {
    // Another process came first between the two looks.
    if (error instanceof InputError && lockHolder(folder)) return undefined;
    throw error;
  }
}
