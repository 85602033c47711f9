/** An unfinished download: `FILE.partial`, and beside it `FILE.partial.json`, which says what it is a part of. */

import { rmSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { makeFolder, removeTemporaries, writeAtomically } from "../atomic-write.ts";
import { fileError } from "../file-error.ts";
import { readJson } from "../read.ts";
import type { Checksum } from "./checksum.ts";

/** Which version of which file the bytes are from. */
export interface Version {
  readonly url: string;
  /** As the server that sent the bytes wrote it. */
  readonly etag?: string;
  readonly lastModified?: string;
  /** Bytes of the whole file. */
  readonly size?: number;
  readonly checksum?: Checksum;
}

/** A version from fields that may be unknown. */
export function versionFrom(fields: { readonly [F in keyof Version]-?: Version[F] | undefined }): Version {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as unknown as Version;
}

/**
 * A version from JSON of ours that anybody may have changed since.
 * @returns undefined if it is not one.
 */
export function parseVersion(json: unknown): Version | undefined {
  if (typeof json !== "object" || json === null) return undefined;
  const { url, etag, lastModified, size, checksum } = json as { [field: string]: unknown };
  const isText = (value: unknown) => value === undefined || typeof value === "string";
  const isSize = size === undefined || (Number.isSafeInteger(size) && (size as number) >= 0);
  const isChecksum = isText(checksum) && /^(sha256:[0-9a-f]{64}|git:[0-9a-f]{40})?$/.test((checksum as string) ?? "");
  if (typeof url !== "string" || !isText(etag) || !isText(lastModified) || !isChecksum || !isSize) return undefined;
  return versionFrom({ url, etag, lastModified, size, checksum } as Parameters<typeof versionFrom>[0]);
}

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
      await writeAtomically(notePath, `${JSON.stringify(next, null, 2)}\n`);
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

/** A note that is damaged is as good as none: the download starts again. */
function readVersion(path: string): Version | undefined {
  try {
    return parseVersion(readJson(path));
  } catch {
    return undefined;
  }
}
