/** A file from any address on disk: downloaded, and downloaded again when the server has another version. */

import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { makeFolder } from "../atomic-write.ts";
import { holdingFolder } from "../holding-folder.ts";
import { exists } from "../read.ts";
import { isSafeFile, locationText, type WebLocation, withoutQuery } from "./location.ts";
import { progressMeter } from "./progress-meter.ts";
import { isUnreachable } from "./retry.ts";
import { type DownloadContext, waitingFor } from "./settings.ts";
import { transfer } from "./transfer.ts";
import { isIntact, noteFile, readNote, removeQueries } from "./web-note.ts";

/**
 * The path of a file from an address. What is in the cache is used if it is as it arrived and the server still has that
 * version (by checksum, ETag or date), or cannot be reached, with a notice.
 * @throws as `localPath`.
 */
export async function webPath(location: WebLocation, context: DownloadContext): Promise<string> {
  const { url } = location;
  const subject = locationText(location);
  const host = new URL(url).host.replaceAll(":", "_");
  const web = join(context.cache, "web");
  const folder = join(web, host, createHash("sha256").update(url).digest("hex").slice(0, 16));
  const name = fileName(url);
  const target = join(folder, name);
  await removeQueries(web);
  if (context.offline) return offlineCopy(target, subject, context);
  makeFolder(folder, 0o700); // an address with a signature is for its owner, and so is what comes from there
  await holdingFolder(folder, waitingFor(folder, context), async () => {
    const known = await intactCopy(target, url, context);
    const meter = progressMeter([{ path: name }], context);
    let isOther = false; // bytes come only of another version than the known one
    const progress = (bytes: number, total?: number) => {
      isOther = true;
      meter.at(name, bytes, total);
    };
    try {
      const file = { url, subject, target, progress, ...(known ? { unlessSame: known } : {}) };
      const version = await transfer(file, context);
      if (version !== "same") meter.done(name, statSync(target).size);
      if (version !== "same" || known?.modifiedMs !== statSync(target).mtimeMs) {
        await noteFile(target, version === "same" ? known! : version, context.signal);
      }
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
  if (note && !(await isIntact(target, note, context.signal))) {
    throw new InputError(
      `offline: the copy of ${subject} in the cache (${target}) is damaged; run once without offline mode`,
    );
  }
  context.notice(`offline; using the copy of ${arrival(target)} of ${subject}`);
  return target;
}

/** What is known of the file in the cache; undefined unless note and file agree. */
async function intactCopy(target: string, url: string, { signal, notice }: DownloadContext) {
  const note = exists(target) ? readNote(target) : undefined;
  if (note?.url !== withoutQuery(url)) return undefined;
  if (await isIntact(target, note, signal)) return note;
  notice(`${target} has changed since it was downloaded; downloading it again`);
  return undefined;
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
