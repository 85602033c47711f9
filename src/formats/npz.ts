/** NumPy's `.npz`: a zip file of `.npy` arrays, stored or deflated. */

import { InputError } from "../array/input-error.ts";
import { bytesPerElement, type DType, type NDArray, sizeOf } from "../array/ndarray.ts";
import type { ByteSource } from "./byte-source.ts";
import { checkNpyLength, encodeNpy, encodeNpyHeader, longestNpyHeader, npyArray, parseNpyHeader } from "./npy.ts";
import type { StoredTensor, WeightFile } from "./weight-file.ts";
import { crc32 } from "./zip/crc32.ts";
import { quote, readZipDirectory, type ZipDirectory, type ZipEntry } from "./zip/zip-directory.ts";
import { dataOffset, readEntry, readEntryStart, stored } from "./zip/zip-entry.ts";
import { ZipWriter } from "./zip/zip-writer.ts";

const suffix = ".npy";
const firstRead = 256; // the header of most arrays

/**
 * Opens a `.npz` file and reads the headers of its arrays.
 * @throws InputError naming the entry that is no array of ours.
 */
export async function openNpz(source: ByteSource): Promise<WeightFile> {
  const directory = await readZipDirectory(source, source.name ?? "npz file");
  const tensors = new Map<string, StoredTensor>();
  for (const entry of directory.entries.values()) {
    const tensor = await openArray(directory, entry);
    tensors.set(tensor.name, tensor);
  }
  return { format: "npz", tensors, unreadable: new Map(), metadata: Object.create(null) };
}

async function openArray(directory: ZipDirectory, entry: ZipEntry): Promise<StoredTensor> {
  const label = `${directory.where}: zip entry ${quote(entry.name)}`;
  if (!entry.name.endsWith(suffix)) throw new InputError(`${label}: expected an array (.npy), found another name`);
  const header = parseNpyHeader(await readHeader(directory, entry), label);
  checkNpyLength(header, entry.byteLength, label);
  const { dtype, shape, dataStart, byteLength } = header;
  const name = entry.name.slice(0, -suffix.length);
  const read = async () => npyArray(header, (await readEntry(directory, entry)).subarray(dataStart));
  if (entry.method !== stored) return { name, dtype, shape, read };
  const offset = (await dataOffset(directory, entry)) + dataStart;
  if (header.fortranOrder || !header.littleEndian) return { name, dtype, shape, read };
  return { name, dtype, shape, place: { source: directory.source, offset, byteLength }, read };
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
    yield* zip.entry({ name: `${name}${suffix}`, byteLength: bytes.length, crc32: crc32(bytes), chunks: [bytes] });
  }
  yield* zip.end();
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
 * The same bytes as `encodeNpz`, from arrays that are read piece by piece while the file is written.
 * @throws InputError for bfloat16; RangeError for pieces that do not make the shape; errors of `chunks`.
 */
export async function* streamNpz(arrays: Iterable<StreamedArray>): AsyncGenerator<Uint8Array> {
  const zip = new ZipWriter();
  for (const array of arrays) {
    const header = encodeNpyHeader(array, `tensor ${quote(array.name)}`);
    const byteLength = header.length + bytesPerElement(array.dtype) * sizeOf(array.shape);
    let checksum = crc32(header);
    for await (const chunk of array.chunks()) checksum = crc32(chunk, checksum);
    const chunks = behind(header, array.chunks());
    yield* zip.streamedEntry({ name: `${array.name}${suffix}`, byteLength, crc32: checksum, chunks });
  }
  yield* zip.end();
}

async function* behind(header: Uint8Array, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield header;
  yield* chunks;
}
