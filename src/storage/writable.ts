/** Whether a command can write its results, asked before the work that they take: nothing stays of the question. */
import { closeSync, lstatSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { InputError } from "../array/input-error.ts";
import { temporaryName } from "./atomic-write.ts";
import { codeOf, fileError } from "./file-error.ts";

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
      `cannot ${operation} ${path}: expected a folder or a new name, found ${there}; choose another --out`,
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
