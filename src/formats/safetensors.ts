/** Safetensors, the weights format of Hugging Face: bytes to named arrays and back. */

import { bytesPerElement, type DType, NDArray, sizeOf, viewOf } from "../array/ndarray.ts";
import type { ByteSource } from "./byte-source.ts";
import {
  dtypeOfCode,
  headerLength,
  parseSafetensorsHeader,
  type SafetensorsHeader,
  type TensorEntry,
} from "./safetensors-header.ts";

export { parseSafetensorsHeader, type SafetensorsHeader, type TensorEntry } from "./safetensors-header.ts";

/** What a safetensors file holds. */
export interface Safetensors {
  readonly tensors: Map<string, NDArray>;
  /** An object without prototype. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * The tensors of a whole file in memory: views into `bytes` where aligned, copies elsewhere.
 * `where` names the file in errors.
 * @throws InputError if the file is not valid.
 */
export function decodeSafetensors(bytes: Uint8Array, where = "safetensors"): Safetensors {
  const { entries, metadata } = parseSafetensorsHeader(bytes, bytes.length, where);
  const tensors = new Map<string, NDArray>();
  for (const entry of entries) {
    tensors.set(entry.name, toArray(entry, bytes.subarray(entry.offset, entry.offset + entry.byteLength)));
  }
  return { tensors, metadata };
}

/** The checked header of a source; with it, `readTensor` reads single tensors. @throws InputError */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const where = source.name ?? "safetensors";
  const first8 = await source.read(0, Math.min(8, source.size));
  const length = headerLength(first8, source.size, where);
  return parseSafetensorsHeader(await source.read(0, 8 + length), source.size, where);
}

/** Reads one tensor of a source. */
export async function readTensor(source: ByteSource, entry: TensorEntry): Promise<NDArray> {
  return toArray(entry, await source.read(entry.offset, entry.byteLength));
}

/**
 * All tensors of a source, read one at a time in file order: no more than the tensors themselves is ever in memory.
 * @throws InputError if the file is not valid.
 */
export async function readSafetensors(source: ByteSource): Promise<Safetensors> {
  const { entries, metadata } = await readSafetensorsHeader(source);
  const tensors = new Map<string, NDArray>();
  for (const entry of entries) tensors.set(entry.name, await readTensor(source, entry));
  return { tensors, metadata };
}

function toArray({ dtype, shape }: TensorEntry, bytes: Uint8Array): NDArray {
  const aligned = bytes.byteOffset % bytesPerElement(dtype) === 0 && bytes.buffer instanceof ArrayBuffer;
  const own = (aligned ? bytes : Uint8Array.from(bytes)) as Uint8Array<ArrayBuffer>;
  return new NDArray(dtype, shape, viewOf(dtype, own.buffer, own.byteOffset, sizeOf(shape)));
}

const codeOfDtype = new Map<DType, string>([...dtypeOfCode].map(([code, dtype]) => [dtype, code]));

/**
 * The bytes of a file, in chunks: the header, then each tensor's own bytes without a copy.
 * The same tensors and metadata give the same bytes, in whatever order they are given: wider element types come
 * first and names are sorted among equals, so that every tensor is aligned in a format that allows no gaps;
 * the header is padded with spaces to a multiple of 8.
 * @throws RangeError if a tensor is called `__metadata__`.
 */
export function* encodeSafetensors(
  tensors: ReadonlyMap<string, NDArray>,
  metadata: Readonly<Record<string, string>> = {},
): Generator<Uint8Array> {
  if (tensors.has("__metadata__")) throw new RangeError("safetensors: a tensor cannot be called __metadata__");
  const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) => (a < b ? -1 : 1);
  const width = (array: NDArray) => bytesPerElement(array.dtype);
  const sorted = [...tensors].sort((a, b) => width(b[1]) - width(a[1]) || byName(a, b));
  const notes = Object.entries(metadata).sort(byName);
  // Written by hand: an object would reorder names like "0" and lose "__proto__".
  const fields =
    notes.length > 0 ? [`"__metadata__":{${notes.map((note) => note.map((s) => JSON.stringify(s)).join(":"))}}`] : [];
  let offset = 0;
  for (const [name, { dtype, shape, byteLength }] of sorted) {
    const place = `"data_offsets":[${offset},${offset + byteLength}]`;
    fields.push(`${JSON.stringify(name)}:{"dtype":"${codeOfDtype.get(dtype)}","shape":[${shape}],${place}}`);
    offset += byteLength;
  }
  const header = new TextEncoder().encode(`{${fields}}`);
  const padded = new Uint8Array(8 + Math.ceil(header.length / 8) * 8).fill(0x20);
  new DataView(padded.buffer).setBigUint64(0, BigInt(padded.length - 8), true);
  padded.set(header, 8);
  yield padded;
  for (const [, { data }] of sorted) {
    if (data.length > 0) yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
}
