/** JSON on disk: text for people to read, and values that hold their own checksum, so that damage is found. */
import { createHash } from "node:crypto";
import { InputError, isObject } from "../array/input-error.ts";
import { readJson } from "./read.ts";

/** A string, which stays as it is, or a list of nothing but numbers. */
const stringOrNumbers = /"(?:[^"\\]|\\.)*"|\[[\s\d.,e+-]+\]/g;

/** The text of a file: lists of hundreds of masks or scores would be thousands of lines. */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value, null, 1);
  return `${text.replaceAll(stringOrNumbers, (part) => (part.startsWith('"') ? part : part.replaceAll(/\s+/g, "")))}\n`;
}

type Fields = Readonly<Record<string, unknown>>;

const checksumIn = (value: Fields): string => createHash("sha256").update(JSON.stringify(value)).digest("hex");

/** The value with one field more, `checksum`: the SHA-256 of its JSON without that field. */
export const sealed = <T extends object>(value: T): T & { readonly checksum: string } => ({
  ...value,
  checksum: checksumIn(value as Fields),
});

/**
 * A JSON value that was written with `sealed`, without its checksum, for the caller to validate; one without a checksum
 * is taken as it is. `advice` is what to do with a damaged file.
 * @throws InputError if it cannot be read, or is not what was written.
 */
export function readSealed(path: string, advice?: string): unknown {
  const more = advice === undefined ? "" : `; ${advice}`;
  let found: unknown;
  try {
    found = readJson(path);
  } catch (error) {
    throw error instanceof InputError ? new InputError(`${error.message}${more}`) : error;
  }
  if (!isObject(found)) return found;
  const { checksum, ...value } = found;
  if (checksum === undefined || checksum === checksumIn(value)) return value;
  throw new InputError(`${path} is damaged: its content has not the checksum that it was written with${more}`);
}
