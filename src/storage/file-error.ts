/** File-system error codes as sentences a user can act on. */

import { InputError } from "../array/input-error.ts";

const advice: { readonly [code: string]: string } = {
  ENOENT: "no such file or folder; check the path",
  EACCES: "permission denied; choose another folder or change its permissions",
  EPERM: "operation not permitted; choose another folder or change its permissions",
  EROFS: "the file system is read-only; choose another folder",
  ENOSPC: "the disk is full; free some space or choose another disk",
  EDQUOT: "the disk quota is used up; free some space or choose another disk",
  EFBIG: "the file would be larger than the file system or user limit allows",
  EISDIR: "this is a folder; a file is expected",
  ENOTDIR: "a part of this path is a file, not a folder",
  EEXIST: "a file or folder of this name already exists; remove it or choose another name",
  ENOTEMPTY: "this folder already exists and is not empty; remove it or choose another name",
  EXDEV: "source and target are on different disks",
  EMFILE: "too many files are open",
  ENAMETOOLONG: "the name is too long",
  ELOOP: "it is a symbolic link that leads back to itself; name the file itself",
  EIO: "the disk reports an input/output error",
  ERR_FS_FILE_TOO_LARGE: "the file is larger than 2 GiB, too large to be read whole",
};

/** What is refused to be read is not mended by another folder. */
const adviceOfReading: { readonly [code: string]: string } = {
  EACCES: "permission denied; change its permissions, or those of its folders",
  EPERM: "operation not permitted; change its permissions, or those of its folders",
};

const readings = ["read", "open", "list", "look at"];

/** The `code` of a Node error (`"ENOENT"`), or "" for anything else. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : "";
}

/**
 * An `InputError` "operation path: what happened; what to do"; an `InputError` passes unchanged.
 * Errors without a file-system code are bugs, not user problems, and pass unchanged too.
 */
export function fileError(operation: string, path: string, error: unknown): unknown {
  const code = codeOf(error);
  if (error instanceof InputError || code === "") return error;
  const reason = (readings.includes(operation) && adviceOfReading[code]) || advice[code] || (error as Error).message;
  return new InputError(`cannot ${operation} ${path}: ${reason} (${code})`, { cause: error });
}

/** The result of `body`, which does `operation` with a file. @throws InputError as `fileError` says it. */
export function attempt<T>(operation: string, path: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw fileError(operation, path, error);
  }
}
