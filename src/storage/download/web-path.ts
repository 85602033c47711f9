/** A file from any address on disk: downloaded, and downloaded again when the server has another version. */

import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { makeFolder, removeTemporaries } from "../atomic-write.ts";
import { fileHash } from "../checksums.ts";
import { holdingFolder } from "../lock.ts";
import { exists } from "../read.ts";
import { isSafeFile, locationText, type WebLocation, withoutQuery } from "./location.ts";
import { isUnreachable } from "./retry.ts";
import { type DownloadContext, progressMeter, waitingFor } from "./settings.ts";
import { readNote, type WebNote, webDownload, writeNote } from "./web-download.ts";

/**
 * The path of a file from an address. What is in the cache is used if it is as it arrived and the server still has that
 * version (by ETag or date), or cannot be reached, with a notice.
 * @throws as `localPath`.
 */
export async function webPath(location: WebLocation, context: DownloadContext): Promise<string> {
  const { url } = location;
  const subject = locationText(location);
  const host = new URL(url).host.replaceAll(":", "_");
  const folder = join(context.cache, "web", host, createHash("sha256").update(url).digest("hex").slice(0, 16));
  const name = fileName(url);
  const target = join(folder, name);
  if (context.offline) return offlineCopy(target, subject, context);
  makeFolder(folder, 0o700); // an address with a signature is for its owner, and so is what comes from there
  await holdingFolder(folder, waitingFor(folder, context), async () => {
    removeTemporaries(folder);
    const known = await intactCopy(target, url, context);
    const meter = progressMeter([{ path: name }], context);
    let isOther = false; // bytes come only of another version than the known one
    const progress = (bytes: number, total?: number) => {
      isOther = true;
      meter.at(name, bytes, total);
    };
    try {
      const found = await webDownload({ url, subject, target, known, progress }, context);
      if (found !== "same") meter.done(name, statSync(target).size);
      const { mtimeMs: modifiedMs } = statSync(target);
      if (found === "same" && known?.modifiedMs === modifiedMs) return;
      const note: WebNote = found === "same" ? known! : found;
      const content = note.content ?? `sha256:${await fileHash(target, "sha256", context.signal)}`;
      await writeNote(target, { ...note, content, modifiedMs });
    } catch (error) {
      if (!known || isOther || !isUnreachable(error)) throw error;
      context.notice(`${(error as Error).message}; using the copy of ${arrival(target)}`);
    }
  });
  return target;
}

/** @throws InputError if there is none, or its bytes have changed. */
async function offlineCopy(target: string, subject: string, context: DownloadContext): Promise<string> {
  if (!exists(target)) {
    throw new InputError(`offline: ${subject} is not in the cache (${target}); run once without offline mode`);
  }
  const note = readNote(target);
  if (note && !(await isIntact(target, note, context))) {
    throw new InputError(
      `offline: the copy of ${subject} in the cache (${target}) is damaged; run once without offline mode`,
    );
  }
  context.notice(`offline; using the copy of ${arrival(target)} of ${subject}`);
  return target;
}

/** The note of the file in the cache; undefined unless note and file agree. */
async function intactCopy(target: string, url: string, context: DownloadContext): Promise<WebNote | undefined> {
  const note = exists(target) ? readNote(target) : undefined;
  if (note?.url !== withoutQuery(url)) return undefined;
  if (await isIntact(target, note, context)) return note;
  context.notice(`${target} has changed since it was downloaded; downloading it again`);
  return undefined;
}

/** Whether a file still has the bytes that arrived. They are read if its time has changed, or to verify them. */
async function isIntact(target: string, note: WebNote, { verify, signal }: DownloadContext): Promise<boolean> {
  const { size, mtimeMs } = statSync(target);
  if (note.size !== undefined && note.size !== size) return false;
  if (note.content === undefined || (note.modifiedMs === mtimeMs && !verify)) return true;
  return `sha256:${await fileHash(target, "sha256", signal)}` === note.content;
}

/** When a file arrived, to the minute. */
function arrival(target: string): string {
  return `${statSync(target).mtime.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** The last part of the address, if it can be the name of a file. */
function fileName(url: string): string {
  const last = new URL(url).pathname.split("/").at(-1) ?? "";
  try {
    const name = decodeURIComponent(last);
    return isSafeFile(name) && !name.includes("/") && name.length <= 200 ? name : "file";
  } catch {
    return "file";
  }
}
