/** Checksums of files, in the two forms that the hub gives: SHA-256 of large files, git's SHA-1 of small ones. */

import { createHash } from "node:crypto";
import { openByteRanges } from "../read.ts";

/** `sha256:…` over the bytes, or `git:…` over git's header and the bytes; lower-case hexadecimal. */
export type Checksum = `sha256:${string}` | `git:${string}`;

/** Whether text is 64 hexadecimal digits. */
export function isSha256(text: unknown): text is string {
  return typeof text === "string" && /^[0-9a-f]{64}$/.test(text);
}

/** Whether text is 40 hexadecimal digits: a commit, or a file in git. */
export function isGitSha(text: unknown): text is string {
  return typeof text === "string" && /^[0-9a-f]{40}$/.test(text);
}

const piece = 2 ** 23;

/** The checksum of a file, of the same form as `like`. @throws InputError if it cannot be read; the signal's reason. */
export async function checksumOf(path: string, like: Checksum, signal?: AbortSignal): Promise<Checksum> {
  const form = like.startsWith("git:") ? "git" : "sha256";
  const source = await openByteRanges(path);
  try {
    const hash = createHash(form === "git" ? "sha1" : "sha256");
    if (form === "git") hash.update(`blob ${source.size}\0`);
    for (let offset = 0; offset < source.size; offset += piece) {
      signal?.throwIfAborted();
      hash.update(await source.read(offset, Math.min(piece, source.size - offset)));
    }
    return `${form}:${hash.digest("hex")}`;
  } finally {
    await source.close();
  }
}
