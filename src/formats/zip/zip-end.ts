/** The end of a zip file, which says where its directory is: found from the back, classic or zip64. */

import { InputError } from "../../array/input-error.ts";
import type { ByteSource } from "../byte-source.ts";

/** Where the directory stands and what it claims to hold. */
export interface ZipEnd {
  readonly offset: number;
  readonly byteLength: number;
  readonly count: number;
}

export const endSignature = 0x06054b50;
export const endLength = 22;
export const end64Signature = 0x06064b50;
export const end64Length = 56;
export const locatorSignature = 0x07064b50;
export const locatorLength = 20;
/** A field that holds this stands in the zip64 record instead. */
export const escaped16 = 0xffff;
export const escaped32 = 0xffffffff;

const longestComment = 0xffff;

/**
 * Finds the end of directory record, which must reach exactly to the end of the file.
 * @throws InputError if there is none, it is split over disks, or its two forms disagree.
 */
export async function findZipEnd(source: ByteSource, where: string): Promise<ZipEnd> {
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
  const wide = await readEnd64(source, offset, locatorStart, where);
  const agrees = (small: number, instead: number, large: number) => small === instead || small === large;
  if (
    !agrees(classic.count, escaped16, wide.count) ||
    !agrees(classic.byteLength, escaped32, wide.byteLength) ||
    !agrees(classic.offset, escaped32, wide.offset)
  ) {
    throw new InputError(`${where}: the two end records of the zip file disagree; it is damaged`);
  }
  return checkedEnd(wide, offset, where);
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
