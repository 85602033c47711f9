/**
 * One file from a server to its place on disk: resumed where it stopped, checked, and renamed only when it is whole.
 *
 * A try asks for the bytes from the end of the partial file on (`Range`), on condition that the file is still the same
 * (`If-Range`). A part is taken only if its own headers say that it is of the same version, or a checksum will tell.
 * A server that sends the whole file, another part, another version, or another number of bytes than it said makes the
 * download start again; twice wrong is an error.
 */

import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { type Checksum, checksumOf, isSha256 } from "./checksum.ts";
import { isEncoded } from "./exchange.ts";
import { type Answer, openAnswer, type Request } from "./http.ts";
import { withoutQuery } from "./location.ts";
import { openPartial, type PartialFile } from "./partial.ts";
import { Interruption, retrying } from "./retry.ts";
import type { DownloadContext } from "./settings.ts";
import { isSame, isStrong, sameBytes, tellsVersions, type Version, versionFrom } from "./version.ts";

/** A file to download. */
export interface RemoteFile extends Request {
  /** Where it goes. */
  readonly target: string;
  /** Bytes, where they are known beforehand. */
  readonly size?: number;
  readonly checksum?: Checksum;
  /** The commit of the repository it is wanted from. */
  readonly commit?: string;
  /** A version that needs no download: if the server still has it, the transfer ends. */
  readonly unlessSame?: Version;
  /** Hears how many bytes are there, and how many there will be. */
  readonly progress?: (bytes: number, total: number | undefined) => void;
}

const realProgress = 2 ** 24; // bytes of one try that make it a success, however often the connection drops
const wrongAnswers = 2;

/**
 * Downloads a file to its target, which then holds the whole file. Only for the holder of the folder's lock.
 * @returns the version that is at the target, or "same" if it is `unlessSame` and nothing was written.
 * @throws InputError if the server refuses, cannot be reached or sends wrong bytes, or the disk refuses; the reason of
 *   the signal. The partial file stays, unless its bytes are wrong.
 */
export async function transfer(file: RemoteFile, context: DownloadContext): Promise<Version | "same"> {
  const partial = await openPartial(file.target);
  try {
    let wrong = 0;
    return await retrying(file.subject, context, async () => {
      try {
        if ((await fill(file, partial, context)) === "same") return "same";
        const version = partial.version()!;
        await verify(file.checksum ?? version.checksum, partial, context);
        await partial.publish();
        return version;
      } catch (error) {
        if (!(error instanceof WrongAnswer)) throw error;
        await partial.discard();
        wrong += 1;
        if (wrong < wrongAnswers) throw new Interruption(error.message, { waitMs: 0 });
        throw new InputError(`cannot download ${file.subject}: ${error.message}, twice; nothing of it was kept`);
      }
    });
  } finally {
    await partial.close();
  }
}

/** The server contradicts itself, or what is known of the file. */
class WrongAnswer extends Error {}

/** One try: after it the partial file has all bytes. */
async function fill(file: RemoteFile, partial: PartialFile, context: DownloadContext): Promise<"same" | "filled"> {
  if (partial.version() && !continues(file, partial)) await partial.discard();
  const isWhole = partial.length() > 0 && partial.length() === partial.version()?.size;
  if (isWhole && checksumFor(file, partial) !== undefined) return "filled"; // the check tells whether it is right
  const answer = await openAnswer({ ...file, headers: isWhole ? {} : resumption(file, partial) }, context);
  try {
    if (answer.status === 206) {
      if (!isProvenPart(answer, file, partial)) {
        context.notice(`${file.subject}: the server does not say of which version the rest is; starting again`);
        await partial.discard();
        answer.close();
        return await fill(file, partial, context); // without a part it asks for the whole file
      }
    } else {
      const version = versionOf(answer, file);
      if (file.unlessSame && isSame(file.unlessSame, version)) return "same";
      if (isWhole && isSame(partial.version()!, version)) return "filled";
      if (file.unlessSame && !tellsVersions(version)) {
        context.notice(`${file.subject}: the server does not say which version it has; downloading it again`);
      }
      if (partial.length() > 0) context.notice(`${file.subject}: the server sends the whole file again`);
      await requireSpace(version.size, file);
      await partial.restart(version);
    }
    await receive(answer, file, partial);
    return "filled";
  } finally {
    answer.close();
  }
}

/** Whether the bytes that are there can be the beginning of this file. */
function continues(file: RemoteFile, partial: PartialFile): boolean {
  const { url, size, checksum } = partial.version()!;
  if (url !== withoutQuery(file.url) || partial.length() > (size ?? Number.POSITIVE_INFINITY)) return false;
  if (file.size !== undefined && size !== undefined && size !== file.size) return false;
  return file.checksum === undefined || checksum === undefined || checksum === file.checksum;
}

function checksumFor(file: RemoteFile, partial: PartialFile): Checksum | undefined {
  return file.checksum ?? partial.version()?.checksum;
}

/**
 * Asks for the rest, if a later check can tell whether it belongs to what is there. Without a length there is none: the
 * bytes may come from a compressed body, whose ranges are not the file's.
 */
function resumption(file: RemoteFile, partial: PartialFile): Record<string, string> {
  const { etag, lastModified, size } = partial.version() ?? {};
  const validator = isStrong(etag) ? etag : lastModified; // a weak tag promises no bytes
  const isChecked = checksumFor(file, partial) !== undefined || (validator !== undefined && size !== undefined);
  if (partial.length() === 0 || !isChecked) return {};
  const range = { range: `bytes=${partial.length()}-` };
  return validator === undefined ? range : { ...range, "if-range": validator };
}

/** What an answer with the whole file says of it. @throws WrongAnswer if that is not the file that was asked for. */
function versionOf(answer: Answer, file: RemoteFile): Version {
  if (answer.status !== 200) throw new WrongAnswer(`expected a file, the server answers with status ${answer.status}`);
  const commit = answer.firstHeader("x-repo-commit");
  if (file.commit !== undefined && commit !== undefined && commit !== file.commit) {
    throw new WrongAnswer(`expected the file of commit ${file.commit}, the server sends that of ${commit}`);
  }
  const type = answer.header("content-type") ?? "";
  if (/^text\/html\b/i.test(type) && !/\.html?$/i.test(file.target)) {
    throw new InputError(`cannot download ${file.subject}: expected a file, found a web page; check the address`);
  }
  const announced = isEncoded(answer) ? undefined : count(answer.header("content-length"));
  const linked = count(answer.firstHeader("x-linked-size"));
  const size = file.size ?? linked ?? announced;
  for (const claimed of [announced, linked]) {
    if (claimed !== undefined && claimed !== size) {
      throw new WrongAnswer(`the file has ${size} bytes, the server announces ${claimed}`);
    }
  }
  const tag = answer
    .firstHeader("x-linked-etag")
    ?.replaceAll(/^(W\/)?"|"$/g, "")
    .toLowerCase();
  const found: Checksum | undefined = isSha256(tag) ? `sha256:${tag}` : undefined;
  if (found && file.checksum?.startsWith("sha256:") && found !== file.checksum) {
    throw new WrongAnswer(`expected checksum ${file.checksum}, the server has a file with ${found}`);
  }
  const checksum = file.checksum ?? found;
  const isChunked = /\bchunked\b/i.test(answer.header("transfer-encoding") ?? "");
  if (size === undefined && checksum === undefined && !isChunked && !isEncoded(answer)) {
    throw new InputError(
      `cannot download ${file.subject}: the server does not say how long the file is, so that a part could pass for the whole; download it by other means and give its path`,
    );
  }
  const [etag, lastModified] = [answer.header("etag"), answer.header("last-modified")];
  return versionFrom({ url: withoutQuery(file.url), etag, lastModified, size, checksum });
}

/**
 * Whether headers or a later check prove that the part is of the version of which the beginning is.
 * @throws WrongAnswer unless the part begins where the partial file ends, and if it is of another version.
 */
function isProvenPart(answer: Answer, file: RemoteFile, partial: PartialFile): boolean {
  const text = answer.header("content-range") ?? "none";
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(text);
  const { etag, lastModified, size = file.size } = partial.version() ?? {};
  if (!match || Number(match[1]) !== partial.length() || partial.length() === 0) {
    throw new WrongAnswer(`asked for the bytes from ${partial.length()} on, the server sends range ${text}`);
  }
  const total = match[3] === "*" ? undefined : Number(match[3]);
  const found = { etag: answer.header("etag"), lastModified: answer.header("last-modified") };
  const isOne = isEncoded(answer) ? undefined : sameBytes({ etag, lastModified }, found);
  if (isOne === false || (total !== undefined && size !== undefined && total !== size)) {
    throw new WrongAnswer("the file has changed since its first part came");
  }
  return isOne === true || checksumFor(file, partial) !== undefined;
}

/** Appends the body. @throws Interruption if it ends too early, WrongAnswer if it is too long. */
async function receive(answer: Answer, file: RemoteFile, partial: PartialFile): Promise<void> {
  const size = partial.version()?.size;
  const before = partial.length();
  const interruption = (message: string) => {
    const gained = partial.length() - before;
    return new Interruption(`${message} after ${partial.length()} of ${size ?? "unknown"} bytes`, {
      progressed: gained >= realProgress,
    });
  };
  file.progress?.(partial.length(), size);
  for (;;) {
    const bytes = await answer.read().catch((error: unknown) => {
      throw error instanceof Interruption ? interruption(error.message) : error;
    });
    if (bytes === undefined) break;
    if (size !== undefined && partial.length() + bytes.length > size) {
      throw new WrongAnswer(`the file has ${size} bytes, the server sends more`);
    }
    await partial.append(bytes);
    file.progress?.(partial.length(), size);
  }
  if (size !== undefined && partial.length() < size) throw interruption("the connection was closed");
}

/** @throws WrongAnswer if the bytes are not those of the checksum. */
async function verify(expected: Checksum | undefined, partial: PartialFile, context: DownloadContext): Promise<void> {
  if (expected === undefined) return;
  const found = await checksumOf(partial.path, expected, context.signal);
  if (found !== expected) throw new WrongAnswer(`expected checksum ${expected}, the bytes have ${found}`);
}

/** @throws InputError if the disk certainly has no room. */
async function requireSpace(size: number | undefined, { subject, target }: RemoteFile): Promise<void> {
  if (size === undefined) return;
  const free = await statfs(dirname(target)).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => Number.POSITIVE_INFINITY, // not every file system tells
  );
  if (size > free) {
    throw new InputError(
      `cannot download ${subject}: it has ${size} bytes, ${dirname(target)} has room for ${free}; free some space or choose another cache folder with TINYFUSION_CACHE`,
    );
  }
}

function count(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
