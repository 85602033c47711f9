/** The directory of a zip file: its entries by name, checked as hostile input before any of them is read. */

import { InputError, quote } from "../../array/input-error.ts";
import type { ByteSource } from "../weight-file.ts";

/** Where the directory is and what it claims to hold. */
interface ZipEnd {
  readonly offset: number;
  readonly byteLength: number;
  readonly count: number;
}

export const endSignature = 0x06054b50;
const endLength = 22;
export const end64Signature = 0x06064b50;
export const end64Length = 56;
export const locatorSignature = 0x07064b50;
const locatorLength = 20;
/** A field that holds this is in the zip64 record instead. */
export const escaped16 = 0xffff;
export const escaped32 = 0xffffffff;

const longestComment = 0xffff;

/**
 * Finds the end of directory record, which must reach exactly to the end of the file.
 * @throws InputError if there is none, it is split over disks, or its two forms disagree.
 */
async function findZipEnd(source: ByteSource, where: string): Promise<ZipEnd> {
  const tailLength = Math.min(source.size, endLength + longestComment + locatorLength);
  const tailStart = source.size - tailLength;
  const tail = await source.read(tailStart, tailLength);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.length);
  const at = endRecord(view);
  if (at === undefined) {
    throw new InputError(`${where}: expected the directory of a zip file at its end, found none; is it cut off?`);
  }
  const classic = {
    count: view.getUint16(at + 10, true),
    byteLength: view.getUint32(at + 12, true),
    offset: view.getUint32(at + 16, true),
  };
  if (view.getUint16(at + 4, true) !== view.getUint16(at + 6, true) || view.getUint16(at + 4, true) % escaped16 !== 0) {
    throw new InputError(`${where}: expected one zip file, found a part of a split one; join the parts first`);
  }
  const hasLocator = at >= locatorLength && view.getUint32(at - locatorLength, true) === locatorSignature;
  const recordStart = tailStart + at;
  if (!hasLocator) return checkedEnd(classic, recordStart, where);
  const locatorStart = recordStart - locatorLength;
  const offset = Number(view.getBigUint64(at - locatorLength + 8, true));
  const zip64 = await readEnd64(source, offset, locatorStart, where);
  const agrees = (small: number, instead: number, large: number) => small === instead || small === large;
  if (
    !agrees(classic.count, escaped16, zip64.count) ||
    !agrees(classic.byteLength, escaped32, zip64.byteLength) ||
    !agrees(classic.offset, escaped32, zip64.offset)
  ) {
    throw new InputError(`${where}: the two end records of the zip file disagree; it is damaged`);
  }
  return checkedEnd(zip64, offset, where);
}

/** The last position where an end record fits exactly to the end of the file. */
function endRecord(view: DataView): number | undefined {
  for (let at = view.byteLength - endLength; at >= 0; at--) {
    if (view.getUint32(at, true) !== endSignature) continue;
    if (at + endLength + view.getUint16(at + 20, true) === view.byteLength) return at;
  }
  return undefined;
}

async function readEnd64(source: ByteSource, offset: number, before: number, where: string): Promise<ZipEnd> {
  if (offset + end64Length > before) {
    throw new InputError(`${where}: the zip64 end record should stand at byte ${offset}, which is beyond its place`);
  }
  const bytes = await source.read(offset, end64Length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== end64Signature) {
    throw new InputError(`${where}: expected a zip64 end record at byte ${offset}, found something else`);
  }
  return {
    count: Number(view.getBigUint64(32, true)),
    byteLength: Number(view.getBigUint64(40, true)),
    offset: Number(view.getBigUint64(48, true)),
  };
}

function checkedEnd(end: ZipEnd, endStart: number, where: string): ZipEnd {
  if (end.offset + end.byteLength > endStart) {
    throw new InputError(
      `${where}: the zip directory claims bytes ${end.offset} to ${end.offset + end.byteLength}, its end record stands at ${endStart}; is the file cut off?`,
    );
  }
  return end;
}

/** One file in a zip file. */
export interface ZipEntry {
  readonly name: string;
  /** 0 is stored, 8 deflated; readers refuse others. */
  readonly method: number;
  readonly flags: number;
  /** CRC-32 of the content; 0 where the writer left it out, as `torch.save` can be set to. */
  readonly crc32: number;
  /** Bytes in the zip file. */
  readonly packedLength: number;
  /** Bytes of the content. */
  readonly byteLength: number;
  /** Where its local header starts. */
  readonly headerOffset: number;
  /** Where the next entry or the directory starts: its bytes end before. */
  readonly limit: number;
}

/** The entries of a source. */
export interface ZipDirectory {
  readonly source: ByteSource;
  /** What errors call the file. */
  readonly where: string;
  /** In the order of the directory. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
}

export const directorySignature = 0x02014b50;
const directoryHeaderLength = 46;
export const localHeaderLength = 30;
/** Extra field with the 8-byte sizes and offset. */
export const zip64Extra = 1;

const longestDirectory = 2 ** 26; // half a million entries as torch names them

/**
 * Reads the directory; nothing of the entries themselves.
 * @throws InputError naming the entry for duplicates, overlaps and entries beyond the file.
 */
export async function readZipDirectory(source: ByteSource, where = source.name ?? "zip file"): Promise<ZipDirectory> {
  const end = await findZipEnd(source, where);
  if (end.byteLength > longestDirectory || end.count * directoryHeaderLength > end.byteLength) {
    throw new InputError(
      `${where}: the zip directory claims ${end.count} entries in ${end.byteLength} bytes, which cannot be; it is damaged`,
    );
  }
  const bytes = await source.read(end.offset, end.byteLength);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const parsed: Omit<ZipEntry, "limit">[] = [];
  for (let at = 0, k = 0; k < end.count; k++) {
    const { entry, next } = parseEntry(view, at, `${where}: entry ${k} of the zip directory`);
    parsed.push(entry);
    at = next;
  }
  const limits = nonOverlapping(parsed, end.offset, where);
  const entries = new Map<string, ZipEntry>();
  for (const entry of parsed) {
    if (entries.has(entry.name)) throw new InputError(`${where}: the zip file names ${quote(entry.name)} twice`);
    entries.set(entry.name, { ...entry, limit: limits.get(entry)! });
  }
  return { source, where, entries };
}

function parseEntry(view: DataView, at: number, where: string): { entry: Omit<ZipEntry, "limit">; next: number } {
  const cutOff = () => new InputError(`${where}: expected a directory entry, found other bytes; the file is damaged`);
  if (at + directoryHeaderLength > view.byteLength || view.getUint32(at, true) !== directorySignature) throw cutOff();
  const nameStart = at + directoryHeaderLength;
  const extraStart = nameStart + view.getUint16(at + 28, true);
  const extraEnd = extraStart + view.getUint16(at + 30, true);
  const next = extraEnd + view.getUint16(at + 32, true);
  if (next > view.byteLength) throw cutOff();
  const name = decodeName(new Uint8Array(view.buffer, view.byteOffset + nameStart, extraStart - nameStart));
  const small = [24, 20, 42].map((field) => view.getUint32(at + field, true));
  const [byteLength, packedLength, headerOffset] = zip64Fields(
    small,
    view,
    extraStart,
    extraEnd,
    `${where}, ${quote(name)}`,
  );
  const [flags, method] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)];
  if (flags & 1) throw new InputError(`${where}, ${quote(name)}: it is encrypted; unpack the file first`);
  const crc32 = view.getUint32(at + 16, true);
  const entry = { name, method, flags, crc32, packedLength, byteLength, headerOffset } as Omit<ZipEntry, "limit">;
  return { entry, next };
}

/** Replaces escaped fields, in their order, by those of the zip64 extra field. @throws InputError if it lacks them. */
function zip64Fields(small: readonly number[], view: DataView, start: number, end: number, where: string): number[] {
  if (!small.includes(escaped32)) return [...small];
  for (let at = start; at + 4 <= end; ) {
    const length = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === zip64Extra) {
      let from = at + 4;
      return small.map((value) => {
        if (value !== escaped32) return value;
        if (from + 8 > Math.min(at + 4 + length, end)) throw new InputError(`${where}: its zip64 field is too short`);
        from += 8;
        return Number(view.getBigUint64(from - 8, true));
      });
    }
    at += 4 + length;
  }
  throw new InputError(`${where}: its sizes should stand in a zip64 field, which is missing`);
}

/** For each entry, where the next one starts. @throws InputError if entries overlap or leave the file. */
function nonOverlapping<E extends Omit<ZipEntry, "limit">>(
  entries: readonly E[],
  directoryStart: number,
  where: string,
): Map<E, number> {
  const sorted = [...entries].sort((a, b) => a.headerOffset - b.headerOffset);
  const limits = new Map<E, number>();
  sorted.forEach((entry, k) => {
    const next = sorted[k + 1];
    const limit = Math.min(next?.headerOffset ?? directoryStart, directoryStart);
    const end = entry.headerOffset + localHeaderLength + entry.packedLength;
    if (end > directoryStart) {
      throw new InputError(
        `${where}: zip entry ${quote(entry.name)} claims bytes to ${end}, the entries end at ${directoryStart}; is the file cut off?`,
      );
    }
    if (end > limit) {
      throw new InputError(`${where}: zip entries ${quote(entry.name)} and ${quote(next!.name)} overlap`);
    }
    limits.set(entry, limit);
  });
  return limits;
}

/** UTF-8, or Latin-1 where it is not. */
export function decodeName(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return new TextDecoder("latin1").decode(bytes);
  }
}
