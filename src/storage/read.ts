/** Reading files: whole, as text or JSON, in byte ranges, and listing folders. */

import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  type Stats,
  statSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { InputError } from "../array/input-error.ts";
import { mistakenFile } from "../formats/file-kind.ts";
import { attempt, fileError } from "./file-error.ts";

/** A pipe without a writer must not hold up its opening, and a device has no end; Windows has neither. */
const readable = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** The bytes of a regular file of up to 2 GiB. @throws InputError if it cannot be read, or is a device or pipe. */
export function readBytes(path: string): Uint8Array<ArrayBuffer> {
  return attempt("read", path, () => {
    const file = openSync(path, readable);
    try {
      const info = fstatSync(file);
      if (!info.isFile() && !info.isDirectory()) throw notRegular("read", path, info);
      const buffer = readFileSync(file); // says of a folder what it is
      return new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.length);
    } finally {
      closeSync(file);
    }
  });
}

function notRegular(operation: string, path: string, info: Stats): InputError {
  const found = info.isDirectory() ? "folder" : "device or pipe";
  return new InputError(`cannot ${operation} ${path}: expected a regular file, found a ${found}`);
}

/** A file's UTF-8 text, without a byte-order mark. @throws InputError if it cannot be read, is not UTF-8 or only a pointer to it. */
export function readText(path: string): string {
  const bytes = readBytes(path);
  const mistaken = mistakenFile(bytes);
  if (mistaken) throw new InputError(`cannot read ${path}: expected text, found ${mistaken.found}; ${mistaken.remedy}`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(`cannot read ${path}: expected UTF-8 text, found other bytes`);
  }
}

/** A file's JSON value, for the caller to validate. @throws InputError if it cannot be read or is not JSON. */
export function readJson(path: string): unknown {
  const text = readText(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(`cannot read ${path}: expected JSON, ${(error as Error).message}`);
  }
}

/** A file's JSON value; undefined where there is no file, or one that holds something else. */
export function jsonIfAny(path: string): unknown {
  if (!exists(path)) return undefined;
  try {
    return readJson(path);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** An open file, read in ranges. */
export interface ByteRanges {
  /** The path it was opened with, for error messages. */
  readonly name: string;
  /** Bytes of the file when it was opened. */
  readonly size: number;
  /** Bytes `[offset, offset + length)`, freshly allocated. @throws InputError beyond the file or if it shrank. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

const largestRead = 2 ** 30; // one read call moves less than 2 GiB

/** Opens a regular file of any size for reading in ranges. @throws InputError if it cannot be opened. */
export async function openByteRanges(path: string): Promise<ByteRanges> {
  const handle = await open(path, readable).catch((error: unknown) => {
    throw fileError("open", path, error);
  });
  const info = await handle.stat();
  if (!info.isFile()) {
    await handle.close();
    throw notRegular("open", path, info);
  }
  const read = async (offset: number, length: number) => {
    if (!(offset >= 0 && length >= 0 && offset + length <= info.size)) {
      throw new InputError(
        `cannot read ${path}: bytes ${offset} to ${offset + length} lie beyond its ${info.size} bytes`,
      );
    }
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await handle
        .read(bytes, done, Math.min(length - done, largestRead), offset + done)
        .catch((error: unknown) => {
          throw fileError("read", path, error);
        });
      if (bytesRead === 0)
        throw new InputError(`cannot read ${path}: it shrank to ${offset + done} bytes while being read`);
      done += bytesRead;
    }
    return bytes;
  };
  return { name: path, size: info.size, read, close: () => handle.close() };
}

/** What `use` makes of an open file, which is closed in any case. */
export async function withByteRanges<T>(path: string, use: (file: ByteRanges) => T | Promise<T>): Promise<T> {
  const file = await openByteRanges(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** A file that is opened for each read: nothing has to be closed. */
export interface FileBytes extends Omit<ByteRanges, "close"> {
  /** The file itself, without links on the way to it. */
  readonly path: string;
}

/** Looks at a regular file of any size; later reads fail if its size has changed. @throws InputError if it cannot be opened. */
export async function fileBytes(path: string): Promise<FileBytes> {
  const size = await withByteRanges(path, (file) => file.size);
  const read = (offset: number, length: number) =>
    withByteRanges(path, (file) => {
      if (file.size === size) return file.read(offset, length);
      throw new InputError(`cannot read ${path}: it had ${size} bytes when it was opened and has ${file.size} now`);
    });
  return { name: path, path: realPath(path), size, read };
}

/** Detects a changed file without reading it. */
interface FileStamp {
  readonly size: number;
  /** When its content or its times were last changed, in milliseconds; a program cannot set it back. */
  readonly changedMs: number;
}

/** @throws InputError if there is no such file. */
export function fileStamp(path: string): FileStamp {
  const { size, ctimeMs } = attempt("look at", path, () => statSync(path));
  return { size, changedMs: ctimeMs };
}

/** One entry of a folder. */
export interface FolderEntry {
  readonly name: string;
  readonly kind: "file" | "folder" | "other";
}

/** The entries of a folder, sorted by name. @throws InputError if it cannot be listed. */
export function listFolder(path: string): FolderEntry[] {
  const entries = attempt("list", path, () => readdirSync(path, { withFileTypes: true }));
  return entries
    .map((entry): FolderEntry => {
      const kind = entry.isFile() ? "file" : entry.isDirectory() ? "folder" : "other";
      return { name: entry.name, kind };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Whether this is a folder. @throws InputError if it cannot be looked at, such as a link to itself. */
export const isFolder = (path: string): boolean =>
  attempt("look at", path, () => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true);

/** A file or folder that exists by its one name, without links on the way to it. @throws InputError if it cannot be seen. */
export const realPath = (path: string): string => attempt("look at", path, () => realpathSync(path));

/** Whether a file or folder of this name can be seen. */
export const exists = (path: string): boolean => existsSync(path);
