/** The content of a zip entry piece by piece and in ranges, in bounded memory, compared with its checksum where it is read whole. */

import { Inflate } from "fflate";
import { InputError } from "../../array/input-error.ts";
import { crc32 } from "./crc32.ts";
import { quote, type ZipDirectory, type ZipEntry } from "./zip-directory.ts";
import { dataOffset, requireFits, requireSum, stored, unpacking } from "./zip-entry.ts";

const packedPiece = 2 ** 14; // no more than 17 MB when inflated
const storedPiece = 2 ** 24;

/** Bytes `[offset, offset + length)` of something. */
export type ReadRange = (offset: number, length: number) => Promise<Uint8Array>;

/**
 * The whole content in order, in pieces of at most 17 MB.
 * @throws InputError if it is packed in an unknown way, does not have its size, or does not fit its checksum.
 */
export async function* entryContent(directory: ZipDirectory, entry: ZipEntry): AsyncGenerator<Uint8Array> {
  const label = `${directory.where}: zip entry ${quote(entry.name)}`;
  let [length, sum] = [0, 0];
  for await (const piece of unpacked(directory, entry, label)) {
    length += piece.length;
    if (length > entry.byteLength) throw wrongLength(label, entry, "more");
    sum = crc32(piece, sum);
    yield piece;
  }
  if (length !== entry.byteLength) throw wrongLength(label, entry, `${length}`);
  requireSum(sum, entry, label);
}

async function* unpacked(directory: ZipDirectory, entry: ZipEntry, label: string): AsyncGenerator<Uint8Array> {
  const { source } = directory;
  const start = await dataOffset(directory, entry);
  const isStored = entry.method === stored;
  if (!isStored) requireFits(entry, entry.packedLength, label);
  let pieces: Uint8Array[] = [];
  const inflate = new Inflate((piece) => pieces.push(piece));
  const step = isStored ? storedPiece : packedPiece;
  for (let at = 0; at < entry.packedLength; at += step) {
    const length = Math.min(step, entry.packedLength - at);
    const packed = await source.read(start + at, length);
    if (isStored) yield packed;
    else {
      unpacking(label, entry.method, () => inflate.push(packed, at + length === entry.packedLength));
      yield* pieces;
      pieces = [];
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
  let piece: Uint8Array = new Uint8Array(0);
  let pieceStart = 0;
  return async (offset, length) => {
    if (content === undefined || offset < pieceStart) {
      content = entryContent(directory, entry);
      [piece, pieceStart] = [new Uint8Array(0), 0];
    }
    const result = new Uint8Array(length);
    for (let at = offset; ; ) {
      const pieceEnd = pieceStart + piece.length;
      if (at < pieceEnd) {
        const part = piece.subarray(at - pieceStart, Math.min(piece.length, offset + length - pieceStart));
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
      [piece, pieceStart] = [next.value, pieceEnd];
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
