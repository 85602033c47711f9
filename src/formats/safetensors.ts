/** Safetensors, the weights format of Hugging Face: bytes to named arrays and back. */

import { InputError, quote } from "../array/input-error.ts";
import type { NDArray } from "../array/ndarray.ts";
import { mistakenFile, mistakenFileBytes } from "./file-kind.ts";
import { arrayOver } from "./raw-array.ts";
import {
  headerLength,
  parseSafetensorsHeader,
  type SafetensorsHeader,
  type TensorEntry,
  unknownDtype,
} from "./safetensors-header.ts";
import type { ByteSource, StoredTensor, WeightFile } from "./weight-file.ts";

export { parseSafetensorsHeader, type SafetensorsHeader, type TensorEntry } from "./safetensors-header.ts";
export { encodeSafetensors } from "./safetensors-write.ts";

/** What a safetensors file holds. */
export interface Safetensors {
  readonly tensors: Map<string, NDArray>;
  /** An object without prototype. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * The tensors of a whole file in memory: views into `bytes` where aligned, copies elsewhere.
 * `where` names the file in errors.
 * @throws InputError if the file is not valid, or a tensor is of a type that has no counterpart here.
 */
export function decodeSafetensors(bytes: Uint8Array, where = "safetensors"): Safetensors {
  const header = parseSafetensorsHeader(bytes, bytes.length, where);
  const { entries, metadata } = header;
  requireReadable(header, where);
  const tensors = new Map<string, NDArray>();
  for (const entry of entries) {
    tensors.set(
      entry.name,
      arrayOver(entry.dtype, entry.shape, bytes.subarray(entry.offset, entry.offset + entry.byteLength)),
    );
  }
  return { tensors, metadata };
}

/** The checked header of a source; with it, `readTensor` reads single tensors. @throws InputError */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const where = source.name ?? "safetensors";
  try {
    const first8 = await source.read(0, Math.min(8, source.size));
    const length = headerLength(first8, source.size, where);
    return parseSafetensorsHeader(await source.read(0, 8 + length), source.size, where);
  } catch (error) {
    const mistaken =
      error instanceof InputError && mistakenFile(await source.read(0, Math.min(mistakenFileBytes, source.size)));
    if (!mistaken) throw error;
    throw new InputError(`${where}: expected a safetensors file, found ${mistaken.found}; ${mistaken.remedy}`);
  }
}

/** Reads one tensor of a source. */
export async function readTensor(source: ByteSource, entry: TensorEntry): Promise<NDArray> {
  return arrayOver(entry.dtype, entry.shape, await source.read(entry.offset, entry.byteLength));
}

/**
 * All tensors of a source, read one at a time in file order: no more than the tensors themselves is ever in memory.
 * @throws InputError if the file is not valid, or a tensor is of a type that has no counterpart here.
 */
export async function readSafetensors(source: ByteSource): Promise<Safetensors> {
  const header = await readSafetensorsHeader(source);
  const { entries, metadata } = header;
  requireReadable(header, source.name ?? "safetensors");
  const tensors = new Map<string, NDArray>();
  for (const entry of entries) tensors.set(entry.name, await readTensor(source, entry));
  return { tensors, metadata };
}

/** @throws InputError naming the first tensor of a foreign type. */
function requireReadable({ foreign: [first] }: SafetensorsHeader, where: string): void {
  if (first) throw new InputError(`${where}: tensor ${quote(first.name)}: ${unknownDtype(first.code)}`);
}

/**
 * A source as named tensors: only the header is read now, each tensor when it is asked for.
 * @throws InputError if the file is not valid.
 */
export async function openSafetensors(source: ByteSource): Promise<WeightFile> {
  const { entries, foreign, metadata } = await readSafetensorsHeader(source);
  const tensors = entries.map((entry): [string, StoredTensor] => {
    const { name, dtype, shape, offset, byteLength } = entry;
    const location = { source, offset, byteLength };
    return [name, { name, dtype, shape, location, read: () => readTensor(source, entry) }];
  });
  const unreadable = new Map(foreign.map(({ name, code }) => [name, `has an ${unknownDtype(code)}`]));
  return { format: "safetensors", tensors: new Map(tensors), unreadable, metadata };
}
