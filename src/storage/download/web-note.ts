/** The note beside a file from an address, `FILE.json`: its version, and the bytes as they arrived. */

import { statSync } from "node:fs";
import { join } from "node:path";
import { exists, listFolder, readJson } from "../read.ts";
import { type Checksum, checksumOf } from "./checksum.ts";
import { writeNote } from "./partial.ts";
import { parseVersion, type Version } from "./version.ts";

/** What is known of a file that is here. */
export interface WebNote extends Version {
  /** `sha256:…` of the bytes that arrived; older notes do not have it. */
  readonly content?: Checksum;
  /** When the file was last changed, in milliseconds since 1970: while that stays, its bytes need no check. */
  readonly modifiedMs?: number;
}

/** The note of a file; undefined if it is missing or damaged. */
export function readNote(target: string): WebNote | undefined {
  try {
    const json = readJson(notePath(target));
    const version = parseVersion(json);
    const { content, modifiedMs } = json as { [field: string]: unknown };
    const isKnown = typeof content === "string" && /^sha256:[0-9a-f]{64}$/.test(content);
    if (!version || !isKnown || typeof modifiedMs !== "number") return version;
    return { ...version, content: content as Checksum, modifiedMs };
  } catch {
    return undefined;
  }
}

/** Notes what arrived, or is still what arrived; where nothing says what that was, what is there now. */
export async function noteFile(target: string, note: WebNote, signal?: AbortSignal): Promise<void> {
  const { mtimeMs } = statSync(target);
  const stated = note.content ?? (note.checksum?.startsWith("sha256:") ? note.checksum : undefined);
  const content = stated ?? (await checksumOf(target, "sha256:", signal));
  const noted: WebNote = { ...note, content, modifiedMs: mtimeMs };
  await writeNote(notePath(target), noted);
}

/** Whether a file still has the bytes that arrived, as far as its note can tell. */
export async function isIntact(target: string, note: WebNote, signal?: AbortSignal): Promise<boolean> {
  const { size, mtimeMs } = statSync(target);
  if (note.size !== undefined && note.size !== size) return false;
  if (note.content === undefined || note.modifiedMs === mtimeMs) return true;
  return (await checksumOf(target, note.content, signal)) === note.content;
}

const notePath = (target: string) => `${target}.json`;

/**
 * Writes the notes below `folder` again that hold an address with its query, as older versions of this
 * program left them: it may be a signature. What cannot be read or written is left as it is.
 */
export async function removeQueries(folder: string): Promise<void> {
  for (const path of notesBelow(folder)) {
    try {
      const json = readJson(path);
      const { url, ...version } = parseVersion(json) ?? { url: "" };
      const isOurs = Object.keys(json as object).every((field) => field === "url" || field in version);
      if (isOurs && (json as Version).url !== url) await writeNote(path, { ...version, url });
    } catch {}
  }
}

/** The notes of `web/HOST/HASH/`, of files that are whole and of others. */
function notesBelow(web: string): string[] {
  if (!exists(web)) return [];
  const folders = (path: string) => listFolder(path).filter(({ kind }) => kind === "folder");
  return folders(web).flatMap(({ name: host }) =>
    folders(join(web, host)).flatMap(
      ({ name }) =>
        listFolder(join(web, host, name))
          .filter((entry) => entry.kind === "file" && entry.name.endsWith(".json"))
          .map((entry) => join(web, host, name, entry.name))
          .filter((path) => !exists(notePath(path))), // that is a file which came from an address
    ),
  );
}
