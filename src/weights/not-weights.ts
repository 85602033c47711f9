/** What a file is that holds no weights we read: the usual mix-ups by name, so that a person knows what to do. */

import { InputError } from "../array/input-error.ts";
import type { ByteSource } from "../formats/byte-source.ts";

const enoughBytes = 512;

/** What a file begins with (case and leading blanks do not count), what that means, and what to do. */
const known: readonly (readonly [start: string, found: string, remedy: string])[] = [
  [
    "version https://git-lfs.github.com/spec",
    "a Git LFS pointer, which only names the real file",
    'fetch that with "git lfs pull" or download it again',
  ],
  ...["<!doctype html", "<html", "<?xml", "<head"].map(
    (start) => [start, "a web page", "it is an error or login page; download the file itself"] as const,
  ),
  ...["\x1f\x8b", "7z\xbc\xaf", "rar!", "bzh", "\xfd7zxz"].map(
    (start) => [start, "a packed archive", "unpack it first"] as const,
  ),
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
  const text = asText(await firstBytes(source))
    .trimStart()
    .toLowerCase();
  const match = known.find(([start]) => text.startsWith(start));
  return match && refused(source, match[1], match[2]);
}

function refused({ name = "file" }: ByteSource, found: string, remedy: string): InputError {
  const expected = "expected weights (safetensors, a file of torch.save, npz, or an index of safetensors)";
  return new InputError(`${name}: ${expected}, found ${found}; ${remedy}`);
}

const firstBytes = (source: ByteSource): Promise<Uint8Array> => source.read(0, Math.min(enoughBytes, source.size));

/** Each byte as one character. */
const asText = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
