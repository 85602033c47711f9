/** What a file is that holds no weights we read: the usual mix-ups by name, so that a person knows what to do. */

import { InputError } from "../array/input-error.ts";
import { mistakenFile, mistakenFileBytes } from "../formats/file-kind.ts";
import type { ByteSource } from "../formats/weight-file.ts";

/** What else a file begins with (case and leading blanks do not count), what that means, and what to do. */
const known: readonly (readonly [start: string, found: string, remedy: string])[] = [
  ["<?xml", "a web page", "it is an error or login page; download the file itself"],
  ["gguf", "GGUF weights", "convert them to safetensors with the tool that made them"],
  ["\x89hdf", "an HDF5 file", "convert it to safetensors with the library that made it"],
  ...["\x89png", "\xff\xd8\xff", "gif8"].map((start) => [start, "a picture", "name a file of weights"] as const),
];

/** The error for a file that is no format of weights. */
export async function notWeights(source: ByteSource): Promise<InputError> {
  if (source.size === 0) return refused(source, "an empty file", "download or write it again");
  const mixUp = await knownMixUp(source);
  if (mixUp) return mixUp;
  const bytes = await firstBytes(source);
  const text = asText(bytes);
  const isText = /^[\t\n\r\x20-\x7e]*$/.test(text);
  const found = isText ? `text that begins ${JSON.stringify(text.slice(0, 40))}` : `bytes that begin ${hex(bytes)}`;
  return refused(source, found, "is it the right file?");
}

/** The error for a file that people take for weights, if it is one of those. */
export async function knownMixUp(source: ByteSource): Promise<InputError | undefined> {
  const bytes = await firstBytes(source);
  const mistaken = mistakenFile(bytes);
  if (mistaken) return refused(source, mistaken.found, mistaken.remedy);
  const text = asText(bytes).trimStart().toLowerCase();
  const match = known.find(([start]) => text.startsWith(start));
  return match && refused(source, match[1], match[2]);
}

function refused({ name = "file" }: ByteSource, found: string, remedy: string): InputError {
  const expected = "expected weights (safetensors, a file of torch.save, npz, or an index of safetensors)";
  return new InputError(`${name}: ${expected}, found ${found}; ${remedy}`);
}

const firstBytes = (source: ByteSource): Promise<Uint8Array> =>
  source.read(0, Math.min(mistakenFileBytes, source.size));

/** Each byte as one character. */
const asText = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
