/** Checksums of files, taken while they are written, so that damage is found later; and a folder's list of them. */
import { createHash, type Hash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { InputError, isObject } from "../array/input-error.ts";
import { appendLine, readLines } from "./append-lines.ts";
import { writeAtomically } from "./atomic-write.ts";
import { readSealed } from "./json.ts";
import { type ByteRanges, exists, withByteRanges } from "./read.ts";

/** A line for each file that was written; the last one counts. Folders of earlier versions have no such file. */
export const checksumsName = "checksums.jsonl";

/** SHA-256 by the path of a file below `folder`, with slashes; what is no such line is passed over. */
export function readChecksums(folder: string): ReadonlyMap<string, string> {
  const lines = readLines(join(folder, checksumsName)) as ({ file?: unknown; sha256?: unknown } | null)[];
  return new Map(
    lines.flatMap((line) =>
      typeof line?.file === "string" && typeof line.sha256 === "string" ? [[line.file, line.sha256] as const] : [],
    ),
  );
}

/** Records the SHA-256 of a file that was written or read whole. @throws InputError if the disk is full. */
export const recordChecksum = (folder: string, file: string, sha256: string): void =>
  appendLine(join(folder, checksumsName), { file, sha256 });

/** Writes a file atomically and records its SHA-256, which is that of the bytes given, not of those found on the disk. */
export async function writeRecorded(
  folder: string,
  file: string,
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const { sha256 } = await writeWithChecksum(join(folder, file), content);
  recordChecksum(folder, file, sha256);
}

/** What a file held when it was written. */
export interface FileChecksum {
  readonly bytes: number;
  readonly sha256: string;
}

/** Writes a file atomically; returns the checksum of the bytes given. @throws InputError if the disk is full. */
export async function writeWithChecksum(
  path: string,
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<FileChecksum> {
  const hash = createHash("sha256");
  let bytes = 0;
  const measured = async function* () {
    for await (const chunk of content) {
      hash.update(chunk);
      bytes += chunk.length;
      yield chunk;
    }
  };
  await writeAtomically(path, measured());
  return { bytes, sha256: hash.digest("hex") };
}

/** SHA-256 of a file. @throws InputError if it cannot be read. */
export const fileSha256 = (path: string): Promise<string> => fileHash(path, "sha256");

/** SHA-256 of a file, or git's SHA-1 of it. @throws InputError if it cannot be read; the signal's reason. */
export async function fileHash(path: string, form: "sha256" | "git", signal?: AbortSignal): Promise<string> {
  return withByteRanges(path, (source) => {
    const hash = form === "git" ? createHash("sha1").update(`blob ${source.size}\0`) : createHash("sha256");
    return digest(source, hash, signal);
  });
}

/** SHA-256 of a file of any size, in hexadecimal. */
export const sha256Of = (source: Bytes): Promise<string> => digest(source, createHash("sha256"));

type Bytes = Pick<ByteRanges, "size" | "read">;
const hashedBytes = 2 ** 24;

async function digest(source: Bytes, hash: Hash, signal?: AbortSignal): Promise<string> {
  for (let offset = 0; offset < source.size; offset += hashedBytes) {
    signal?.throwIfAborted();
    hash.update(await source.read(offset, Math.min(hashedBytes, source.size - offset)));
  }
  return hash.digest("hex");
}

/** What checkpoint `folder` recorded of its files, by name, and its state; no checksums before there were any. */
export function readState(folder: string): { state: Record<string, unknown>; checksums: Record<string, FileChecksum> } {
  const path = join(folder, "state.json");
  const found = readSealed(path);
  if (!isObject(found)) throw new InputError(`${path}: expected the state of a run, found ${JSON.stringify(found)}`);
  const { checksums = {}, ...state } = found;
  return { state, checksums: checksums as Record<string, FileChecksum> };
}

/** @throws InputError if the file does not hold what it did when this was recorded. */
export async function requireChecksum(path: string, expected: FileChecksum | undefined): Promise<void> {
  if (expected === undefined) return;
  await withByteRanges(path, async (source) => {
    if (source.size !== expected.bytes)
      throw new InputError(`${path} is damaged: it was written with ${expected.bytes} bytes and has ${source.size}`);
    if ((await sha256Of(source)) !== expected.sha256)
      throw new InputError(`${path} is damaged: its SHA-256 is not the one that state.json beside it records`);
  });
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
