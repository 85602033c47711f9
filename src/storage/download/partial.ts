/** An unfinished download: `FILE.partial`, and beside it `FILE.partial.json`, which says what it is a part of. */

import { rmSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { makeFolder, removeTemporaries, writeAtomically } from "../atomic-write.ts";
import { fileError } from "../file-error.ts";
import { readJson } from "../read.ts";
import { parseVersion, type Version } from "./version.ts";

/** A partial file, open for appending. */
export interface PartialFile {
  readonly path: string;
  /** Bytes that are there. */
  length(): number;
  /** What they are a part of; undefined if nothing usable is there. */
  version(): Version | undefined;
  /** Empties it and notes what it will hold. @throws InputError if the disk refuses. */
  restart(version: Version): Promise<void>;
  /** @throws InputError if the disk refuses; what was there is kept. */
  append(bytes: Uint8Array): Promise<void>;
  /** Removes both files. */
  discard(): Promise<void>;
  /** Flushes it to disk and gives it its final name, by one rename. */
  publish(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens what is left of an earlier download to `target`, or begins one. Only for the holder of the folder's lock.
 * @throws InputError if the disk refuses.
 */
export async function openPartial(target: string): Promise<PartialFile> {
  const path = `${target}.partial`;
  const notePath = `${path}.json`;
  makeFolder(dirname(target));
  removeTemporaries(dirname(target));
  const failed = (error: unknown) => {
    throw fileError("write", path, error);
  };
  const handle = await open(path, "a").catch(failed); // appending writes never fall into the middle
  let length = (await handle.stat()).size;
  let version = length > 0 ? readVersion(notePath) : undefined;
  const empty = async () => {
    version = undefined;
    await handle.truncate(0).catch(failed);
    length = 0;
  };
  if (version === undefined) await empty();
  return {
    path,
    length: () => length,
    version: () => version,
    restart: async (next) => {
      await empty(); // first: bytes of an old version must never stand beside a new note
      await writeNote(notePath, next);
      version = next;
    },
    append: async (bytes) => {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await handle.write(bytes, done).catch(failed);
        done += bytesWritten;
        length += bytesWritten;
      }
    },
    discard: async () => {
      await empty();
      rmSync(notePath, { force: true });
    },
    publish: async () => {
      await handle.sync().catch(failed);
      await handle.close(); // Windows renames no open files
      await rename(path, target).catch(failed);
      rmSync(notePath, { force: true });
    },
    close: async () => {
      await handle.close(); // once more does no harm
      if (length === 0) for (const left of [path, notePath]) rmSync(left, { force: true });
    },
  };
}

/** Writes a note that its owner alone can read. */
export async function writeNote(path: string, note: Version): Promise<void> {
  await writeAtomically(path, `${JSON.stringify(note, null, 2)}\n`, 0o600);
}

/** A note that is damaged is as good as none: the download starts again. */
function readVersion(path: string): Version | undefined {
  try {
    return parseVersion(readJson(path));
  } catch {
    return undefined;
  }
}
