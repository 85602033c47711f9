/** Files whose checksums a `state.json` beside them records: those of a run's checkpoints. */
import { basename, dirname, join } from "node:path";
import { InputError } from "../array/input-error.ts";
import type { FileChecksum } from "./checksums.ts";
import { exists, openByteRanges, sha256Of } from "./read.ts";
import { readSealed } from "./sealed-json.ts";

/** What checkpoint `folder` recorded of its files, by name, and its state; no checksums before there were any. */
export function readState(folder: string): { state: Record<string, unknown>; checksums: Record<string, FileChecksum> } {
  const path = join(folder, "state.json");
  const found = readSealed(path);
  if (typeof found !== "object" || found === null || Array.isArray(found))
    throw new InputError(`${path}: expected the state of a run, found ${JSON.stringify(found)}`);
  const { checksums = {}, ...state } = found as Record<string, unknown>;
  return { state, checksums: checksums as Record<string, FileChecksum> };
}

/** @throws InputError if the file does not hold what it did when this was recorded. */
export async function requireChecksum(path: string, expected: FileChecksum | undefined): Promise<void> {
  if (expected === undefined) return;
  const source = await openByteRanges(path);
  try {
    if (source.size !== expected.bytes)
      throw new InputError(`${path} is damaged: it was written with ${expected.bytes} bytes and has ${source.size}`);
    if ((await sha256Of(source)) !== expected.sha256)
      throw new InputError(`${path} is damaged: its SHA-256 is not the one that state.json beside it records`);
  } finally {
    await source.close();
  }
}

/**
 * Compares a file of a run's checkpoint with its record; returns its SHA-256, undefined for all other files, which pass.
 * @throws InputError if it is damaged.
 */
export async function requireUndamaged(path: string): Promise<string | undefined> {
  const folder = dirname(path);
  if (!/^step-\d+$/.test(basename(folder)) || !exists(join(folder, "state.json"))) return undefined;
  const expected = readState(folder).checksums[basename(path)];
  await requireChecksum(path, expected);
  return expected?.sha256;
}
