/** Which format a file of weights has, from its first bytes and, for zip files, their directory. */

import type { ByteSource } from "./byte-source.ts";
import { isTorchZip } from "./torch/zip-container.ts";
import { readZipDirectory } from "./zip/zip-directory.ts";

/** `torch` is both of its forms; `pickle` any other pickle, which no reader here takes; `zip` one without weights. */
export type FileKind = "torch" | "safetensors" | "npy" | "npz" | "zip" | "pickle" | "unknown";

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
