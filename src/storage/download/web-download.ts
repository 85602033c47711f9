/**
 * One file from an address to its place on disk: resumed where it stopped, and renamed only when it is whole.
 *
 * A try asks for the bytes from the end of `FILE.partial` on (`Range`), on condition that the file is still the same
 * (`If-Range`). A part is taken only if its own headers say that it is of the same version. A server that sends the
 * whole file, another part, another version, or another number of bytes than it said makes the download start again;
 * twice wrong is an error.
 */

import { InputError } from "../../array/input-error.ts";
import { remove, writeAtomically } from "../atomic-write.ts";
import { exists, jsonIfAny } from "../read.ts";
import { send } from "./http.ts";
import { withoutQuery } from "./location.ts";
import { type FileProgress, openPartial, type PartialFile } from "./partial.ts";
import { refusal } from "./refusal.ts";
import { retrying, type Try, WrongAnswer } from "./retry.ts";
import type { DownloadContext } from "./settings.ts";

/** What a server says of a file, by which its version can be recognised. */
interface WebVersion {
  /** Without its query, which may hold a signature or a token. */
  readonly url: string;
  /** As the server that sent the bytes wrote it. */
  readonly etag?: string | undefined;
  readonly lastModified?: string | undefined;
  /** Bytes of the whole file. */
  readonly size?: number | undefined;
}

/** The record of a file in the cache, or of the version of a part: `FILE.json`. */
export interface WebNote extends WebVersion {
  /** `sha256:…` of the bytes that arrived; older notes do not have it. */
  readonly content?: string | undefined;
  /** When the file was last changed, in milliseconds since 1970: while that stays, its bytes need no check. */
  readonly modifiedMs?: number | undefined;
}

const notePath = (file: string) => `${file}.json`;

/** The note of a file; undefined if it is missing or damaged. */
export function readNote(file: string): WebNote | undefined {
  const { url, ...note } = (jsonIfAny(notePath(file)) ?? {}) as Partial<WebNote>;
  const isText = (value: unknown) => value === undefined || typeof value === "string";
  const isCount = (value: unknown) => value === undefined || (typeof value === "number" && value >= 0);
  if (typeof url !== "string" || !URL.canParse(url) || !isCount(note.size) || !isCount(note.modifiedMs))
    return undefined;
  return [note.etag, note.lastModified, note.content].every(isText) ? { url: withoutQuery(url), ...note } : undefined;
}

/** Writes the note of a file, for its owner alone to read. */
export async function writeNote(file: string, note: WebNote): Promise<void> {
  await writeAtomically(notePath(file), `${JSON.stringify(note, null, 2)}\n`, 0o600);
}

/** A file to download. */
interface WebFile {
  readonly url: string;
  readonly subject: string;
  /** The path of the whole file. */
  readonly target: string;
  /** A version that needs no download. */
  readonly known: WebVersion | undefined;
  readonly progress: FileProgress;
}

/**
 * Downloads a file to its target, which then holds the whole file. Only for the holder of the folder's lock.
 * @returns the version that is at the target, or "same" if it is the known one and nothing was written.
 * @throws InputError if the server refuses, cannot be reached or sends wrong bytes, or the disk refuses; the reason of
 *   the signal. The partial file stays, unless its bytes are wrong.
 */
export async function webDownload(file: WebFile, context: DownloadContext): Promise<WebVersion | "same"> {
  const partial = await openPartial(`${file.target}.partial`, file.target, file.subject);
  try {
    const version = await retrying(file.subject, context, (one) =>
      fill(file, partial, one, context).catch(async (error: unknown) => {
        if (error instanceof WrongAnswer) await partial.clear();
        throw error;
      }),
    );
    if (version !== "same") await partial.publish();
    return version;
  } finally {
    await partial.close();
    if (!exists(partial.path)) remove(notePath(partial.path));
  }
}

/** One try: after it the partial file has all bytes. */
async function fill(
  file: WebFile,
  partial: PartialFile,
  one: Try,
  context: DownloadContext,
): Promise<WebVersion | "same"> {
  const { subject, url, known, progress } = file;
  const begun = await begunVersion(file, partial);
  const isWhole = begun !== undefined && partial.length() === begun.size;
  const response = await send(subject, url, isWhole ? {} : resumption(partial, begun), one, context);
  if (response.status === 206) {
    if (!isProvenPart(response, begun, partial)) {
      context.notice(`${subject}: the server does not say of which version the rest is; starting again`);
      await partial.clear();
      return fill(file, partial, one, context); // without a part it asks for the whole file
    }
    await partial.receive(response.body, begun!.size, progress);
    return begun!;
  }
  const version = versionOf(response, file, context);
  if (known && isSameVersion(known, version)) return "same";
  if (isWhole && isSameVersion(begun, version)) return begun;
  if (known && (version.etag ?? version.lastModified) === undefined) {
    context.notice(`${subject}: the server does not say which version it has; downloading it again`);
  }
  if (partial.length() > 0) context.notice(`${subject}: the server sends the whole file again`);
  await partial.clear(); // first: bytes of an old version must never stand beside a new note
  await writeNote(partial.path, version);
  await partial.receive(response.body, version.size, progress);
  return version;
}

/** What the partial file is a part of; it is emptied if that is not known, or not this file. */
async function begunVersion(file: WebFile, partial: PartialFile): Promise<WebVersion | undefined> {
  const begun = partial.length() > 0 ? readNote(partial.path) : undefined;
  if (begun?.url === withoutQuery(file.url) && partial.length() <= (begun.size ?? 0)) return begun;
  await partial.clear(); // of unknown length, or of another file
  return undefined;
}

/** Asks for the rest, if the server can tell whether it belongs to what is there. */
function resumption(partial: PartialFile, begun: WebVersion | undefined): Record<string, string> {
  const validator = isStrong(begun?.etag) ? begun?.etag : begun?.lastModified; // a weak tag promises no bytes
  return validator === undefined ? {} : { range: `bytes=${partial.length()}-`, "if-range": validator };
}

/** The version of which a response has the whole file. @throws WrongAnswer or InputError if it has no such thing. */
function versionOf(response: Response, { url, subject, target }: WebFile, context: DownloadContext): WebVersion {
  const { status, headers } = response;
  if (!response.ok && status !== 416) throw refusal(subject, response, context);
  if (status !== 200) throw new WrongAnswer(`expected a file, the server answers with status ${status}`);
  if (/^text\/html\b/i.test(headers.get("content-type") ?? "") && !/\.html?$/i.test(target)) {
    throw new InputError(`cannot download ${subject}: expected a file, found a web page; check the address`);
  }
  if (isEncoded(headers)) {
    // `fetch` takes a part of a compressed body for the whole.
    throw new InputError(
      `cannot download ${subject}: the server sends it compressed, although asked for plain bytes; download it by other means and give its path`,
    );
  }
  const length = headers.get("content-length");
  if (length === null && !/\bchunked\b/i.test(headers.get("transfer-encoding") ?? "")) {
    throw new InputError(
      `cannot download ${subject}: the server does not say how long the file is, so that a part could pass for the whole; download it by other means and give its path`,
    );
  }
  return { url: withoutQuery(url), ...validators(headers), size: length === null ? undefined : Number(length) };
}

/**
 * Whether the headers prove that the part is of the version of which the beginning is.
 * @throws WrongAnswer unless the part begins where the partial file ends, and if it is of another version.
 */
function isProvenPart({ headers }: Response, begun: WebVersion | undefined, partial: PartialFile): boolean {
  const text = headers.get("content-range") ?? "none";
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/i.exec(text) ?? [];
  if (begun === undefined || Number(start) !== partial.length()) {
    throw new WrongAnswer(`asked for the bytes from ${partial.length()} on, the server sends range ${text}`);
  }
  const isSame = isEncoded(headers) ? undefined : sameBytes(begun, validators(headers));
  if (isSame === false || (total !== "*" && Number(total) !== begun.size)) {
    throw new WrongAnswer("the file has changed since its first part came");
  }
  return isSame === true;
}

const isEncoded = (headers: Headers) => (headers.get("content-encoding") ?? "identity") !== "identity";

type Validators = Pick<WebVersion, "etag" | "lastModified">;

const validators = (headers: Headers): Validators => ({
  etag: headers.get("etag") ?? undefined,
  lastModified: headers.get("last-modified") ?? undefined,
});

/** Whether a tag promises equal bytes. A weak one, `W/"…"`, promises an equal meaning only. */
const isStrong = (etag: string | undefined) => etag !== undefined && !/^W\//i.test(etag);
const opaque = (etag: string) => etag.replace(/^W\//i, "");

/**
 * Whether two descriptions are of the same bytes: by strong ETags or else by dates (RFC 9110, section 8.8).
 * @returns undefined if they have nothing in common that decides it.
 */
function sameBytes(known: Validators, found: Validators): boolean | undefined {
  if (known.etag !== undefined && found.etag !== undefined) {
    if (opaque(known.etag) !== opaque(found.etag)) return false;
    if (isStrong(known.etag) && isStrong(found.etag)) return true;
  }
  if (known.lastModified === undefined || found.lastModified === undefined) return undefined;
  return known.lastModified === found.lastModified;
}

/** Whether a whole file here is what the server has. Equal weak ETags and lengths are enough, a length is not. */
function isSameVersion(known: WebVersion, found: WebVersion): boolean {
  if (known.size !== found.size) return false;
  return sameBytes(known, found) ?? (known.etag !== undefined && known.etag === found.etag);
}
