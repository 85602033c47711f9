/** What a file is: the format of its weights, or what people mistake for weights. */

import { isTorchZip } from "./torch/zip-container.ts";
import type { ByteSource } from "./weight-file.ts";
import { readZipDirectory } from "./zip/zip-directory.ts";

/** `torch` is both of its forms; `pickle` any other pickle, which no reader here takes; `zip` one without weights. */
type FileKind = "torch" | "safetensors" | "npy" | "npz" | "zip" | "pickle" | "unknown";

const enoughBytes = 64;

/**
 * The kind of a file.
 * @throws InputError for a zip file whose directory is missing or damaged.
 */
export async function kindOfFile(source: ByteSource): Promise<FileKind> {
  const kind = kindOfBytes(await source.read(0, Math.min(enoughBytes, source.size)));
  if (kind !== "zip") return kind;
  const directory = await readZipDirectory(source);
  if (isTorchZip(directory)) return "torch";
  return [...directory.entries.keys()].some((name) => name.endsWith(".npy")) ? "npz" : "zip";
}

/** What the first 64 bytes tell: a zip file may hold torch's or NumPy's weights. */
export function kindOfBytes(first: Uint8Array): Exclude<FileKind, "npz"> {
  if (startsWith(first, "PK\x03\x04") || startsWith(first, "PK\x05\x06")) return "zip";
  if (startsWith(first, "\x93NUMPY")) return "npy";
  if (startsWith(first, "{", 8)) return "safetensors";
  if (first[0] === 0x80 && first[1]! <= 5) return holdsLegacyMagic(first) ? "torch" : "pickle";
  return "unknown";
}

function startsWith(bytes: Uint8Array, text: string, at = 0): boolean {
  return [...text].every((character, k) => bytes[at + k] === character.charCodeAt(0));
}

/** The first pickle of torch's old form is one integer of ten bytes, in newer protocols after a frame. */
function holdsLegacyMagic(first: Uint8Array): boolean {
  const magic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  return startsWith(first, magic, 2) || startsWith(first, magic, 11);
}

interface MistakenFile {
  /** With its article: "a web page". */
  readonly found: string;
  /** What to do. */
  readonly remedy: string;
}

/** Bytes of the start of a file that decide. */
export const mistakenFileBytes = 512;

/** What a file begins with (case and leading blanks do not count). */
const starts: readonly (readonly [start: string, found: string, remedy: string])[] = [
  [
    "version https://git-lfs.github.com/spec",
    "a Git LFS pointer, which only names the real file",
    'fetch that with "git lfs pull" or download it again',
  ],
  ...["<!doctype html", "<html", "<head"].map(
    (start) => [start, "a web page", "it is an error or login page; download the file itself"] as const,
  ),
  ...["\x1f\x8b", "7z\xbc\xaf", "rar!", "bzh", "\xfd7zxz"].map(
    (start) => [start, "a packed archive", "unpack it first"] as const,
  ),
];

/** What these first bytes of a file are, if that is one of the usual mix-ups. */
export function mistakenFile(bytes: Uint8Array): MistakenFile | undefined {
  const text = Array.from(bytes.subarray(0, mistakenFileBytes), (byte) => String.fromCharCode(byte)).join("");
  const start = text.trimStart().toLowerCase();
  const match = starts.find(([known]) => start.startsWith(known));
  return match && { found: match[1], remedy: match[2] };
}
