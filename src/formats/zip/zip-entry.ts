/** What is in an entry of a zip file: where its bytes start, its whole content, inflated and checked, and ranges of it. */

import { Inflate } from "fflate";
import { InputError, quote } from "../../array/input-error.ts";
import { crc32 } from "./crc32.ts";
import { decodeName, escaped32, localHeaderLength, type ZipDirectory, type ZipEntry } from "./zip-directory.ts";

export const localSignature = 0x04034b50;
export const stored = 0;
const deflated = 8;
/** Sizes and checksum follow the content instead of standing in the local header. */
const sizesFollow = 1 << 3;

const largestRatio = 1032; // no byte of deflate stands for more
const largestInflated = 2 ** 31 - 1;

/**
 * Where the bytes of an entry start, from its local header.
 * @throws InputError if that header is not the one the directory speaks of.
 */
export async function dataOffset({ source, where }: ZipDirectory, entry: ZipEntry): Promise<number> {
  const label = `${where}: zip entry ${quote(entry.name)}`;
  const nameLength = new TextEncoder().encode(entry.name).length; // Latin-1 names get a few bytes too many
  const length = Math.min(localHeaderLength + nameLength, entry.limit - entry.headerOffset);
  const bytes = await source.read(entry.headerOffset, length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const nameEnd = localHeaderLength + view.getUint16(26, true);
  if (
    view.getUint32(0, true) !== localSignature ||
    view.getUint16(8, true) !== entry.method ||
    decodeName(bytes.subarray(localHeaderLength, nameEnd)) !== entry.name
  ) {
    throw new InputError(`${label}: expected its header at byte ${entry.headerOffset}, found another`);
  }
  const sizes: [number, number][] = [
    [view.getUint32(18, true), entry.packedLength],
    [view.getUint32(22, true), entry.byteLength],
  ];
  const unknown = (view.getUint16(6, true) & sizesFollow) !== 0;
  if (sizes.some(([here, there]) => here !== there && here !== escaped32 && !(unknown && here === 0))) {
    throw new InputError(`${label}: its header and the directory disagree about its size; the file is damaged`);
  }
  const start = entry.headerOffset + nameEnd + view.getUint16(28, true);
  if (start + entry.packedLength > entry.limit) {
    throw new InputError(`${label}: its ${entry.packedLength} bytes from ${start} on reach into the next entry`);
  }
  if (entry.method === stored && entry.packedLength !== entry.byteLength) {
    throw new InputError(
      `${label}: it is stored as it is, but claims two sizes, ${entry.packedLength} and ${entry.byteLength}`,
    );
  }
  return start;
}

/**
 * The content of an entry of up to `largest` bytes; its checksum is compared where the file has one.
 * @throws InputError if it is larger, packed in an unknown way, or damaged.
 */
export async function readEntry(
  directory: ZipDirectory,
  entry: ZipEntry,
  largest = largestInflated,
): Promise<Uint8Array<ArrayBuffer>> {
  const label = `${directory.where}: zip entry ${quote(entry.name)}`;
  if (entry.byteLength > largest || entry.packedLength > largestInflated) {
    throw new InputError(`${label}: it claims ${entry.byteLength} bytes, the limit is ${largest}; save it in parts`);
  }
  if (entry.method === stored) {
    const content = await directory.source.read(await dataOffset(directory, entry), entry.packedLength);
    checkCrc(content, entry, label);
    return content as Uint8Array<ArrayBuffer>;
  }
  requireFits(entry, entry.packedLength, label);
  const content = new Uint8Array(entry.byteLength);
  let at = 0;
  for await (const chunk of entryContent(directory, entry)) {
    content.set(chunk, at);
    at += chunk.length;
  }
  return content;
}

/**
 * At least the first `length` bytes of an entry's content, or all of it if it has fewer; not compared with a checksum.
 * @throws InputError if it is packed in an unknown way, or damaged there.
 */
export async function readEntryStart(directory: ZipDirectory, entry: ZipEntry, length: number): Promise<Uint8Array> {
  if (entry.method === stored) {
    return directory.source.read(await dataOffset(directory, entry), Math.min(length, entry.byteLength));
  }
  const chunks: Uint8Array[] = [];
  let found = 0;
  for await (const chunk of unpacked(directory, entry, `${directory.where}: zip entry ${quote(entry.name)}`)) {
    chunks.push(chunk);
    found += chunk.length;
    if (found >= length) break;
  }
  return joined(chunks, found);
}

/** Chunks of `length` bytes in all as one array. */
function joined(chunks: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** @throws InputError if the entry has a checksum and `content` another. */
export function checkCrc(content: Uint8Array, entry: ZipEntry, label: string): void {
  if (entry.crc32 !== 0) requireSum(crc32(content), entry, label);
}

/** @throws InputError if the entry has a checksum and it is not that of its content. */
function requireSum(sum: number, entry: ZipEntry, label: string): void {
  if (entry.crc32 === 0 || sum === entry.crc32) return;
  throw new InputError(`${label}: its checksum does not fit its content; the file is damaged, get it again`);
}

/** @throws InputError if so many packed bytes cannot be all of an entry's content. */
function requireFits({ byteLength }: ZipEntry, packedLength: number, label: string): void {
  if (byteLength <= packedLength * largestRatio) return;
  throw new InputError(`${label}: ${packedLength} bytes cannot unpack to the ${byteLength} it claims`);
}

/** @throws InputError if an entry is neither stored nor deflated. */
export function requireKnownMethod(label: string, method: number): void {
  if (method === stored || method === deflated) return;
  throw new InputError(`${label}: expected it stored or deflated, found packing method ${method}; zip it again`);
}

/** What `unpack` gives. @throws InputError if the method is not deflate, or the data are no valid ones. */
function unpacking<T>(label: string, method: number, unpack: () => T): T {
  requireKnownMethod(label, method);
  try {
    return unpack();
  } catch (error) {
    throw new InputError(`${label}: it cannot be unpacked (${(error as Error).message}); the file is damaged`);
  }
}

const packedChunk = 2 ** 14; // no more than 17 MB when inflated
const storedChunk = 2 ** 24;

/** Bytes `[offset, offset + length)` of something. */
export type ReadRange = (offset: number, length: number) => Promise<Uint8Array>;

/**
 * The whole content in order, in chunks of at most 17 MB.
 * @throws InputError if it is packed in an unknown way, does not have its size, or does not fit its checksum.
 */
export async function* entryContent(directory: ZipDirectory, entry: ZipEntry): AsyncGenerator<Uint8Array> {
  const label = `${directory.where}: zip entry ${quote(entry.name)}`;
  let [length, sum] = [0, 0];
  for await (const chunk of unpacked(directory, entry, label)) {
    length += chunk.length;
    if (length > entry.byteLength) throw wrongLength(label, entry, "more");
    sum = crc32(chunk, sum);
    yield chunk;
  }
  if (length !== entry.byteLength) throw wrongLength(label, entry, `${length}`);
  requireSum(sum, entry, label);
}

async function* unpacked(directory: ZipDirectory, entry: ZipEntry, label: string): AsyncGenerator<Uint8Array> {
  const { source } = directory;
  const start = await dataOffset(directory, entry);
  const isStored = entry.method === stored;
  if (!isStored) requireFits(entry, entry.packedLength, label);
  let chunks: Uint8Array[] = [];
  const inflate = new Inflate((chunk) => chunks.push(chunk));
  const step = isStored ? storedChunk : packedChunk;
  for (let at = 0; at < entry.packedLength; at += step) {
    const length = Math.min(step, entry.packedLength - at);
    const packed = await source.read(start + at, length);
    if (isStored) yield packed;
    else {
      unpacking(label, entry.method, () => inflate.push(packed, at + length === entry.packedLength));
      yield* chunks;
      chunks = [];
    }
  }
}

function wrongLength(label: string, { byteLength }: ZipEntry, found: string): InputError {
  return new InputError(`${label}: it claims to unpack to ${byteLength} bytes, found ${found}`);
}

/**
 * Reads an entry in ranges. Of one that is stored, just these bytes are read; once they came in order from the first to
 * the last, they are compared with the checksum. One that is packed is unpacked from its start, and from there again
 * for a range before the one of last time: fast in order, slow at random.
 */
export function entryRanges(directory: ZipDirectory, entry: ZipEntry): ReadRange {
  return inTurn(entry.method === stored ? storedRanges(directory, entry) : packedRanges(directory, entry));
}

function storedRanges(directory: ZipDirectory, entry: ZipEntry): ReadRange {
  const label = `${directory.where}: zip entry ${quote(entry.name)}`;
  let start: number | undefined;
  let [checked, sum] = [0, 0]; // bytes from the start of which the checksum is known
  return async (offset, length) => {
    start ??= await dataOffset(directory, entry);
    const bytes = await directory.source.read(start + offset, length);
    if (offset <= checked && checked < offset + length) {
      sum = crc32(bytes.subarray(checked - offset), sum);
      checked = offset + length;
      if (checked === entry.byteLength) requireSum(sum, entry, label);
    }
    return bytes;
  };
}

function packedRanges(directory: ZipDirectory, entry: ZipEntry): ReadRange {
  let content: AsyncGenerator<Uint8Array> | undefined;
  let chunk: Uint8Array = new Uint8Array(0);
  let chunkStart = 0;
  return async (offset, length) => {
    if (content === undefined || offset < chunkStart) {
      content = entryContent(directory, entry);
      [chunk, chunkStart] = [new Uint8Array(0), 0];
    }
    const result = new Uint8Array(length);
    for (let at = offset; ; ) {
      const chunkEnd = chunkStart + chunk.length;
      if (at < chunkEnd) {
        const part = chunk.subarray(at - chunkStart, Math.min(chunk.length, offset + length - chunkStart));
        result.set(part, at - offset);
        at += part.length;
      }
      // The end is read beyond, too: that compares the checksum.
      if (at === offset + length && at < entry.byteLength) return result;
      const next = await content.next();
      if (next.done) {
        content = undefined;
        if (at === offset + length) return result;
        throw new RangeError(`zip entry ${entry.name}: bytes to ${offset + length} lie beyond its ${entry.byteLength}`);
      }
      [chunk, chunkStart] = [next.value, chunkEnd];
    }
  };
}

/** One read after the other, in the order in which they are asked for. */
export function inTurn(read: ReadRange): ReadRange {
  let last: Promise<unknown> = Promise.resolve();
  return (offset, length) => {
    const next = last.then(() => read(offset, length));
    last = next.catch(() => undefined);
    return next;
  };
}
