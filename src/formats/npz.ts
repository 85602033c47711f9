/** NumPy's `.npz`: a zip file of `.npy` arrays, stored or deflated. */

import { quote } from "../array/input-error.ts";
import { bytesPerElement, type DType, type NDArray, sizeOf } from "../array/ndarray.ts";
import { columnMajorRanges } from "./column-major.ts";
import {
  type AnyNpyHeader,
  checkNpyLength,
  encodeNpy,
  encodeNpyHeader,
  foreignNpy,
  isReadable,
  longestNpyHeader,
  type NpyHeader,
  npyArray,
  npyTexts,
  parseAnyHeader,
  textBytes,
} from "./npy.ts";
import { bytesOf } from "./raw-array.ts";
import type { ByteSource, StoredTensor, WeightFile } from "./weight-file.ts";
import { crc32 } from "./zip/crc32.ts";
import { readZipDirectory, type ZipDirectory, type ZipEntry } from "./zip/zip-directory.ts";
import {
  dataOffset,
  entryContent,
  entryRanges,
  inTurn,
  type ReadRange,
  readEntry,
  readEntryStart,
  requireKnownMethod,
  stored,
} from "./zip/zip-entry.ts";
import { ZipWriter } from "./zip/zip-writer.ts";

const suffix = ".npy";
const firstRead = 256; // the header of most arrays
/** Bytes of an array that may be in memory as a whole to read ranges of it. */
const mostInMemory = 2 ** 28;

/** Texts in a file, such as names of classes. */
export interface StoredTexts {
  readonly shape: readonly number[];
  /** @throws InputError if the file is damaged there. */
  read(): Promise<string[]>;
}

/** An opened `.npz` file. Arrays of texts are unreadable as tensors. */
export interface NpzFile extends WeightFile {
  readonly texts: ReadonlyMap<string, StoredTexts>;
  /** Shapes of the arrays that are not read. */
  readonly unreadableShapes: ReadonlyMap<string, readonly number[]>;
}

/**
 * Opens a `.npz` file and reads the headers of its arrays. What is none, or is of a type that is not read, is named.
 * Ranges of arrays of more than `memory` bytes that are packed, or bytes in column-major order, are read by going through them.
 * @throws InputError naming the entry that is damaged.
 */
export async function openNpz(source: ByteSource, memory = mostInMemory): Promise<NpzFile> {
  const directory = await readZipDirectory(source, source.name ?? "npz file");
  const [tensors, texts] = [new Map<string, StoredTensor>(), new Map<string, StoredTexts>()];
  const [unreadable, unreadableShapes] = [new Map<string, string>(), new Map<string, readonly number[]>()];
  for (const entry of directory.entries.values()) {
    if (!entry.name.endsWith(suffix)) {
      unreadable.set(entry.name, `is no array (${suffix})`);
      continue;
    }
    const name = entry.name.slice(0, -suffix.length);
    const label = `${directory.where}: zip entry ${quote(entry.name)}`;
    requireKnownMethod(label, entry.method);
    const header = parseAnyHeader(await readHeader(directory, entry), label);
    if (isReadable(header)) tensors.set(name, await openArray(name, header, { directory, entry, memory }));
    else {
      unreadable.set(name, `has ${foreignNpy(header)}`);
      unreadableShapes.set(name, header.shape);
      const byteLength = textBytes(header);
      if (byteLength === undefined) continue;
      checkNpyLength({ ...header, byteLength }, entry.byteLength, label);
      texts.set(name, openTexts(header, directory, entry));
    }
  }
  return { format: "npz", tensors, texts, unreadable, unreadableShapes, metadata: Object.create(null) };
}

function openTexts(header: AnyNpyHeader, directory: ZipDirectory, entry: ZipEntry): StoredTexts {
  const { shape, dataStart } = header;
  const read = async () => npyTexts(header, (await readEntry(directory, entry)).subarray(dataStart));
  return { shape, read };
}

interface ArrayEntry {
  readonly directory: ZipDirectory;
  readonly entry: ZipEntry;
  readonly memory: number;
}

async function openArray(name: string, header: NpyHeader, at: ArrayEntry): Promise<StoredTensor> {
  const { directory, entry } = at;
  const label = `${directory.where}: zip entry ${quote(entry.name)}`;
  checkNpyLength(header, entry.byteLength, label);
  const { dtype, shape, dataStart, byteLength } = header;
  const read = async () => npyArray(header, (await readEntry(directory, entry)).subarray(dataStart), label);
  const readRange = rangesOf(header, at, read);
  const tensor = { name, dtype, shape, read, ...(readRange && { readRange }) };
  if (entry.method !== stored || !isAsStored(header)) return tensor;
  const offset = (await dataOffset(directory, entry)) + dataStart;
  return { ...tensor, location: { source: directory.source, offset, byteLength } };
}

/**
 * How ranges of an array are read: from the file, from memory where its elements are in another order or form, or by passes
 * over bytes in column-major order that are too many for memory.
 */
function rangesOf(header: NpyHeader, at: ArrayEntry, read: () => Promise<NDArray>): ReadRange | undefined {
  const { directory, entry, memory } = at;
  if (isAsStored(header) && (entry.method === stored || entry.byteLength > memory)) {
    return behindHeader(entryRanges(directory, entry), header.dataStart);
  }
  if (entry.byteLength <= memory) return inMemory(read);
  if (header.width > 1) return undefined;
  return inTurn(columnMajorRanges(() => entryContent(directory, entry), header.dataStart, header.shape, memory));
}

/** Whether the elements in the file are those of an array in memory. */
const isAsStored = ({ dtype, width, littleEndian, fortranOrder }: NpyHeader): boolean =>
  width === bytesPerElement(dtype) && littleEndian && !fortranOrder;

function inMemory(read: () => Promise<NDArray>): ReadRange {
  let whole: Promise<NDArray> | undefined;
  return async (offset, length) => {
    whole ??= read();
    return bytesOf(await whole).slice(offset, offset + length);
  };
}

/** Ranges of the elements; the header is read first, since the checksum is of both. */
function behindHeader(content: ReadRange, dataStart: number): ReadRange {
  let header: Promise<Uint8Array> | undefined;
  return async (offset, length) => {
    header ??= content(0, dataStart);
    await header;
    return content(dataStart + offset, length);
  };
}

/** Bytes that hold the whole header of an array. */
async function readHeader(directory: ZipDirectory, entry: ZipEntry): Promise<Uint8Array> {
  const first = await readEntryStart(directory, entry, firstRead);
  const [low = 0, high = 0] = first.subarray(8);
  const end = 12 + low + 256 * high; // where version 1 ends; others are read to their longest
  const length = first[6] === 1 ? end : longestNpyHeader;
  return end <= first.length && first[6] === 1 ? first : readEntryStart(directory, entry, length);
}

/**
 * A `.npz` file in chunks, uncompressed, names without their `.npy`.
 * @throws InputError for bfloat16, which NumPy does not have.
 */
export function* encodeNpz(tensors: ReadonlyMap<string, NDArray>): Generator<Uint8Array> {
  const zip = new ZipWriter();
  for (const [name, array] of tensors) {
    const bytes = encodeNpy(array, `tensor ${quote(name)}`);
    yield zip.header({ name: `${name}${suffix}`, byteLength: bytes.length, crc32: crc32(bytes) });
    yield bytes;
  }
  yield zip.end();
}

/** An array that is never whole in memory. */
export interface StreamedArray {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The bytes of its elements, little-endian and row-major; asked for twice, first for the checksum. */
  chunks(): AsyncIterable<Uint8Array>;
}

/**
 * The same bytes as `encodeNpz`, from arrays that are read chunk by chunk while the file is written.
 * @throws InputError for bfloat16; RangeError for chunks that do not make the shape; errors of `chunks`.
 */
export async function* streamNpz(arrays: Iterable<StreamedArray>): AsyncGenerator<Uint8Array> {
  const zip = new ZipWriter();
  for (const array of arrays) {
    const name = `${array.name}${suffix}`;
    const header = encodeNpyHeader(array, `tensor ${quote(array.name)}`);
    const byteLength = header.length + bytesPerElement(array.dtype) * sizeOf(array.shape);
    let checksum = crc32(header);
    for await (const chunk of array.chunks()) checksum = crc32(chunk, checksum);
    yield zip.header({ name, byteLength, crc32: checksum });
    yield header;
    let written = header.length;
    for await (const chunk of array.chunks()) {
      yield chunk;
      written += chunk.length;
    }
    if (written !== byteLength) throw new RangeError(`zip entry ${name}: expected ${byteLength} bytes, got ${written}`);
  }
  yield zip.end();
}
