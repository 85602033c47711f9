/** A file from any address on disk: downloaded, and downloaded again when the server has another version. */

import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { writeAtomically } from "../atomic-write.ts";
import { exists, readJson } from "../read.ts";
import { holdingFolder } from "./folder-lock.ts";
import { isSafeFile, locationText, type WebLocation } from "./location.ts";
import { parseVersion, type Version } from "./partial.ts";
import { progressMeter } from "./progress-meter.ts";
import { isUnreachable } from "./retry.ts";
import type { DownloadContext } from "./settings.ts";
import { transfer } from "./transfer.ts";

/**
 * The path of a file from an address. What is in the cache is used if the server still has that version (by checksum,
 * ETag, or date and length; by length alone if it gives none of them), or cannot be reached, with a notice.
 * @throws as `localPath`.
 */
export async function webPath(location: WebLocation, context: DownloadContext): Promise<string> {
  const { url } = location;
  const subject = locationText(location);
  const host = new URL(url).host.replaceAll(":", "_");
  const folder = join(context.cache, "web", host, createHash("sha256").update(url).digest("hex").slice(0, 16));
  const name = fileName(url);
  const target = join(folder, name);
  if (context.offline) {
    if (exists(target)) return target;
    throw new InputError(`offline: ${subject} is not in the cache (${target}); run once without offline mode`);
  }
  await holdingFolder(folder, context, async () => {
    const notePath = `${target}.json`;
    const known = knownVersion(target, notePath, url);
    const meter = progressMeter([{ path: name }], context);
    let isOther = false; // bytes come only of another version than the known one
    const progress = (bytes: number, total?: number) => {
      isOther = true;
      meter.at(name, bytes, total);
    };
    try {
      const file = { url, subject, target, progress, ...(known ? { unlessSame: known } : {}) };
      const version = await transfer(file, context);
      if (version === "same") return;
      meter.done(name, statSync(target).size);
      await writeAtomically(notePath, `${JSON.stringify(version, null, 2)}\n`);
    } catch (error) {
      if (!known || isOther || !isUnreachable(error)) throw error;
      context.notice(`${(error as Error).message}; using the file that came from there before`);
    }
  });
  return target;
}

/** The version that is in the cache, if note and file agree. */
function knownVersion(target: string, notePath: string, url: string): Version | undefined {
  if (!exists(target) || !exists(notePath)) return undefined;
  try {
    const version = parseVersion(readJson(notePath));
    const isIt = version?.url === url && (version.size ?? statSync(target).size) === statSync(target).size;
    return isIt ? version : undefined;
  } catch {
    return undefined;
  }
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
