/** Writing so that a reader sees the old file or the whole new one, never a part, even after a power cut. */

import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { type FileHandle, open, rename } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { InputError } from "../array/input-error.ts";
import { attempt, codeOf, fileError } from "./file-error.ts";

/** What a file is made of: text (UTF-8), bytes, or chunks of bytes that are produced while they are written. */
export type Content = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Writes `content` under a temporary name in the same folder, flushes it to disk and renames it to `path`.
 * Missing folders are made; a symbolic link is followed. On any error the temporary file is removed
 * and an existing file keeps its content.
 * `mode` are the file's permissions, less those that the process's umask takes away.
 * @throws InputError naming path, bytes and remedy if the disk is full or refuses; errors of the iterator as they are.
 */
export async function writeAtomically(path: string, content: Content, mode = 0o666): Promise<void> {
  const target = regularTarget(path);
  const temporary = temporaryName(target);
  const isWhole = typeof content === "string" || content instanceof Uint8Array;
  const total = isWhole ? Buffer.byteLength(content) : undefined;
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const chunks = bytes instanceof Uint8Array ? [bytes] : bytes;
  let written = 0;
  makeFolder(dirname(target));
  try {
    const handle = await open(temporary, "wx", mode);
    try {
      for await (const chunk of chunks) {
        await writeFully(handle, chunk);
        written += chunk.length;
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    const amount = total === undefined ? `after ${written} bytes, to` : `${total} bytes to`;
    throw fileError(`write ${amount}`, path, error);
  }
  await flushFolder(dirname(target));
}

async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  const largestWrite = 2 ** 30;
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(bytes.length - done, largestWrite));
    done += bytesWritten;
  }
}

/** The file that a write to `path` replaces. @throws InputError for folders, devices and pipes. */
function regularTarget(path: string): string {
  if (!existsSync(path)) return path;
  const target = realpathSync(path);
  if (!lstatSync(target).isFile()) {
    throw new InputError(`cannot write ${path}: expected a regular file or a new name, found a folder or device`);
  }
  return target;
}

const temporaryPattern = /^\.tmp-[0-9a-f]{12}-/;

/** A new name beside `target`, under which its content is written first. */
export function temporaryName(target: string): string {
  return join(dirname(target), `.tmp-${randomBytes(6).toString("hex")}-${basename(target)}`);
}

/**
 * Makes a folder and its parents, with the permissions `mode`; no error if it exists. Returns those that were made, the
 * outermost first.
 * @throws InputError if it cannot be made.
 */
export const makeFolder = (path: string, mode = 0o777): string[] =>
  attempt("make folder", path, () => makeFolders(path, mode));

/** `mkdirSync`'s own `recursive` never returns in Node 20 where an existing folder takes no new ones, as in /proc. */
function makeFolders(path: string, mode: number, tries = 3): string[] {
  try {
    mkdirSync(path, mode);
    return [path];
  } catch (error) {
    if (existsSync(path) && statSync(path).isDirectory()) return [];
    const parent = dirname(path);
    if (codeOf(error) !== "ENOENT" || parent === path) throw error;
    if (!existsSync(parent)) return [...makeFolders(parent, mode), ...makeFolders(path, mode)];
    if (tries === 1) throw error;
    return makeFolders(path, mode, tries - 1); // another process has made the parent meanwhile
  }
}

/** Removes a folder if there is nothing in it; one that others use, or that is gone, is left alone. */
export function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (!["ENOTEMPTY", "EEXIST", "ENOENT", "EBUSY", "EPERM"].includes(codeOf(error)))
      throw fileError("remove", path, error);
  }
}

/** Removes a file or a whole folder; no error if it does not exist. @throws InputError if it cannot be removed. */
export const remove = (path: string): void =>
  attempt("remove", path, () => rmSync(path, { recursive: true, force: true }));

/** Makes an empty folder beside `finalDir`, to be filled and then published as `finalDir`. */
export function temporaryFolder(finalDir: string): string {
  const path = temporaryName(finalDir);
  makeFolder(path);
  return path;
}

/**
 * Makes a filled folder visible as `finalDir` by one rename, flushed to disk; its files must have been written
 * atomically. On an error `tempDir` is left in place for the caller to remove or keep.
 * @throws InputError if `finalDir` exists and is not empty, or the disk refuses.
 */
export async function publishDirectory(tempDir: string, finalDir: string): Promise<void> {
  try {
    await flushFolder(tempDir);
    await rename(tempDir, finalDir);
  } catch (error) {
    throw fileError(`publish ${tempDir} as`, finalDir, error);
  }
  await flushFolder(dirname(finalDir));
}

/**
 * Removes what interrupted writes left in `folder`, of all files or of the one named. Only for the holder of the lock of
 * the folder, or of that file.
 */
export function removeTemporaries(folder: string, of?: string): void {
  for (const name of attempt("clean up", folder, () => readdirSync(folder))) {
    const target = temporaryPattern.exec(name) && name.replace(temporaryPattern, "");
    if (target !== null && (of === undefined || target === of)) remove(join(folder, name));
  }
}

/** Flushes a folder's names to disk, where the platform can (Windows and some network disks cannot). */
async function flushFolder(path: string): Promise<void> {
  try {
    const handle = await open(path, "r");
    await handle.sync().finally(() => handle.close());
  } catch (error) {
    if (!["EINVAL", "EPERM", "EISDIR", "EACCES", "ENOTSUP", "EBADF"].includes(codeOf(error))) {
      throw fileError("flush folder", path, error);
    }
  }
}

/** @throws InputError unless files can be written into this folder, which need not be there yet. */
export const requireWritableFolder = (path: string): void => requirePlaceIn(path, `make folder ${path} in`);

/** @throws InputError unless a file of this name can be written or replaced. */
export function requireWritableFile(path: string): void {
  const there = look(path);
  if (there !== undefined && there !== "a file") {
    const found = there === "folder" ? "a folder" : there;
    throw new InputError(`cannot write ${path}: expected a file or a new name, found ${found}; choose another name`);
  }
  requirePlaceIn(dirname(path), `make folder ${dirname(path)} in`);
}

/** `making` says what is wanted where the folder is not there yet. */
function requirePlaceIn(path: string, making: string, operation = "write into"): void {
  const there = look(path);
  if (there === undefined) {
    requirePlaceIn(dirname(resolve(path)), making, making);
    return;
  }
  if (there !== "folder") {
    throw new InputError(
      `cannot ${operation} ${path}: expected a folder or a new name, found ${there}; choose another \`out\``,
    );
  }
  const probe = temporaryName(join(path, "probe"));
  try {
    const file = openSync(probe, "wx");
    try {
      writeSync(file, "probe");
    } finally {
      closeSync(file);
      rmSync(probe, { force: true });
    }
  } catch (error) {
    // Of a file in a folder that is there, ENOENT means a folder that takes none, as those of /proc.
    const refused =
      codeOf(error) === "ENOENT" ? Object.assign(new Error("", { cause: error }), { code: "EACCES" }) : error;
    throw fileError(operation, path, refused);
  }
}

/** What is at a path, links followed. @throws InputError if it cannot be seen, or a part of the path is a file. */
function look(path: string): "folder" | "a file" | "a device or pipe" | "a link to nothing" | undefined {
  try {
    const info = statSync(path);
    return info.isDirectory() ? "folder" : info.isFile() ? "a file" : "a device or pipe";
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw fileError("write", path, error);
  }
  return lstatSync(path, { throwIfNoEntry: false }) && "a link to nothing";
}
