/** Writing zip files: entries stored as they are, aligned for memory mapping, of any size. */

import {
  directorySignature,
  end64Length,
  end64Signature,
  endSignature,
  escaped16,
  escaped32,
  localHeaderLength,
  locatorSignature,
  zip64Extra,
} from "./zip-directory.ts";
import { localSignature, stored } from "./zip-entry.ts";

/** What is said of an entry. */
export interface ZipContent {
  readonly name: string;
  readonly byteLength: number;
  readonly crc32: number;
}

interface Written {
  readonly name: Uint8Array;
  readonly byteLength: number;
  readonly crc32: number;
  readonly headerOffset: number;
}

const utf8Name = 1 << 11;
const alignment = 64; // as torch.save, so that a mapped file has aligned tensors
const paddingExtra = 0x4246; // "FB", the field torch.save pads with
const [version, version64] = [20, 45];
const firstDay = (1 << 5) | 1; // 1 January 1980: the same content gives the same bytes

/** A zip file in the making: for each entry its `header` and its content are written, then `end`. */
export class ZipWriter {
  #offset = 0;
  readonly #written: Written[] = [];

  /** What is before the next entry's content, of which `byteLength` bytes follow; they start at a multiple of 64 bytes. */
  header({ name, byteLength, crc32 }: ZipContent): Uint8Array {
    const entry = { name: new TextEncoder().encode(name), byteLength, crc32, headerOffset: this.#offset };
    const header = localHeader(entry);
    this.#written.push(entry);
    this.#offset += header.length + byteLength;
    return header;
  }

  /** The directory and the end of the file. */
  end(): Uint8Array {
    const directory = this.#written.map(directoryHeader);
    const length = directory.reduce((sum, header) => sum + header.length, 0);
    const end = endRecords(directory.length, this.#offset, length);
    const bytes = new Uint8Array(length + end.length);
    let at = 0;
    for (const part of [...directory, end]) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }
}

/** Non-negative integers as fields of `width` bytes each. */
export function littleEndian(width: number, ...values: readonly number[]): number[] {
  const bytes: number[] = [];
  for (let rest of values) {
    for (let k = 0; k < width; k++, rest = Math.floor(rest / 256)) bytes.push(rest % 256);
  }
  return bytes;
}

function localHeader({ name, byteLength, crc32, headerOffset }: Written): Uint8Array {
  const isLarge = byteLength >= escaped32;
  const size = isLarge ? escaped32 : byteLength;
  const sizes = isLarge ? [...littleEndian(2, zip64Extra, 16), ...littleEndian(8, byteLength, byteLength)] : [];
  const fixed = localHeaderLength + name.length + sizes.length + 4; // up to the padding
  const padding = (alignment - ((headerOffset + fixed) % alignment)) % alignment;
  const bytes = new Uint8Array(fixed + padding);
  bytes.set([
    ...littleEndian(4, localSignature),
    ...littleEndian(2, isLarge ? version64 : version, utf8Name, stored, 0, firstDay),
    ...littleEndian(4, crc32, size, size),
    ...littleEndian(2, name.length, sizes.length + 4 + padding),
    ...name,
    ...sizes,
    ...littleEndian(2, paddingExtra, padding),
  ]);
  return bytes;
}

function directoryHeader({ name, byteLength, crc32, headerOffset }: Written): number[] {
  const large = [byteLength, byteLength, headerOffset].filter((value) => value >= escaped32);
  const extra =
    large.length > 0 ? [...littleEndian(2, zip64Extra, 8 * large.length), ...littleEndian(8, ...large)] : [];
  const needed = extra.length > 0 ? version64 : version;
  const size = Math.min(byteLength, escaped32);
  return [
    ...littleEndian(4, directorySignature),
    ...littleEndian(2, needed, needed, utf8Name, stored, 0, firstDay),
    ...littleEndian(4, crc32, size, size),
    ...littleEndian(2, name.length, extra.length, 0, 0, 0),
    ...littleEndian(4, 0, Math.min(headerOffset, escaped32)),
    ...name,
    ...extra,
  ];
}

/** The zip64 end record with its locator where they are needed, and the classic one. */
function endRecords(count: number, start: number, length: number): number[] {
  const isLarge = count >= escaped16 || start >= escaped32 || length >= escaped32;
  const large = [
    ...littleEndian(4, end64Signature),
    ...littleEndian(8, end64Length - 12),
    ...littleEndian(2, version64, version64),
    ...littleEndian(4, 0, 0),
    ...littleEndian(8, count, count, length, start),
    ...littleEndian(4, locatorSignature, 0),
    ...littleEndian(8, start + length),
    ...littleEndian(4, 1),
  ];
  const small = Math.min(count, escaped16);
  return [
    ...(isLarge ? large : []),
    ...littleEndian(4, endSignature),
    ...littleEndian(2, 0, 0, small, small),
    ...littleEndian(4, Math.min(length, escaped32), Math.min(start, escaped32)),
    ...littleEndian(2, 0),
  ];
}
