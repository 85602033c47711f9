/** Writing zip files: entries stored as they are, aligned for memory mapping, of any size. */

import {
  directoryHeaderLength,
  directorySignature,
  end64Length,
  end64Signature,
  endLength,
  endSignature,
  escaped16,
  escaped32,
  localHeaderLength,
  locatorLength,
  locatorSignature,
  zip64Extra,
} from "./zip-directory.ts";
import { localSignature, stored } from "./zip-entry.ts";

/** What goes into a zip file. */
export interface ZipContent {
  readonly name: string;
  readonly byteLength: number;
  readonly crc32: number;
  /** `byteLength` bytes in all. */
  readonly chunks: Iterable<Uint8Array>;
}

/** The same, where chunks come one by one. */
export type StreamedZipContent = Omit<ZipContent, "chunks"> & { readonly chunks: AsyncIterable<Uint8Array> };

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

/** A zip file in the making: `entry` for each content, then `end`; both give the chunks to write. */
export class ZipWriter {
  #offset = 0;
  readonly #written: Written[] = [];

  /** The chunks of one entry; its content starts at a multiple of 64 bytes. @throws RangeError for another length. */
  *entry({ chunks, ...entry }: ZipContent): Generator<Uint8Array> {
    const start = yield* this.#begin(entry);
    for (const chunk of chunks) yield* this.#pass(chunk);
    requireLength(entry, this.#offset - start);
  }

  /** The same for an entry whose chunks are read while they are written. */
  async *streamedEntry({ chunks, ...entry }: StreamedZipContent): AsyncGenerator<Uint8Array> {
    const start = yield* this.#begin(entry);
    for await (const chunk of chunks) yield* this.#pass(chunk);
    requireLength(entry, this.#offset - start);
  }

  /** The header of an entry; returns where its content starts. */
  *#begin({ name, byteLength, crc32 }: Omit<ZipContent, "chunks">): Generator<Uint8Array, number> {
    const entry = { name: new TextEncoder().encode(name), byteLength, crc32, headerOffset: this.#offset };
    this.#written.push(entry);
    yield* this.#pass(localHeader(entry));
    return this.#offset;
  }

  *#pass(chunk: Uint8Array): Generator<Uint8Array> {
    if (chunk.length > 0) yield chunk;
    this.#offset += chunk.length;
  }

  /** The directory and the end of the file. */
  *end(): Generator<Uint8Array> {
    const start = this.#offset;
    let length = 0;
    for (const entry of this.#written) {
      const header = directoryHeader(entry);
      yield header;
      length += header.length;
    }
    yield endRecords(this.#written.length, start, length);
  }
}

function requireLength({ name, byteLength }: Omit<ZipContent, "chunks">, found: number): void {
  if (found !== byteLength) throw new RangeError(`zip entry ${name}: expected ${byteLength} bytes, got ${found}`);
}

/** Fields of a header, written one after the other. */
class Fields {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
    this.#view = new DataView(this.bytes.buffer);
  }

  u16(...values: number[]): this {
    for (const value of values) this.#view.setUint16(this.#skip(2), value, true);
    return this;
  }

  u32(...values: number[]): this {
    for (const value of values) this.#view.setUint32(this.#skip(4), value, true);
    return this;
  }

  u64(...values: number[]): this {
    for (const value of values) this.#view.setBigUint64(this.#skip(8), BigInt(value), true);
    return this;
  }

  put(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.#skip(bytes.length));
    return this;
  }

  /** Goes on by `length` bytes; where they start. */
  #skip(length: number): number {
    this.#at += length;
    return this.#at - length;
  }
}

function localHeader({ name, byteLength, crc32, headerOffset }: Written): Uint8Array {
  const wide = byteLength >= escaped32;
  const fixed = localHeaderLength + name.length + (wide ? 20 : 0) + 4; // up to the padding
  const padding = (alignment - ((headerOffset + fixed) % alignment)) % alignment;
  const size = wide ? escaped32 : byteLength;
  const fields = new Fields(fixed + padding)
    .u32(localSignature)
    .u16(wide ? version64 : version, utf8Name, stored, 0, firstDay)
    .u32(crc32, size, size)
    .u16(name.length, fixed + padding - localHeaderLength - name.length)
    .put(name);
  if (wide) fields.u16(zip64Extra, 16).u64(byteLength, byteLength);
  return fields.u16(paddingExtra, padding).bytes;
}

function directoryHeader({ name, byteLength, crc32, headerOffset }: Written): Uint8Array {
  const wide: number[] = [];
  if (byteLength >= escaped32) wide.push(byteLength, byteLength);
  if (headerOffset >= escaped32) wide.push(headerOffset);
  const size = Math.min(byteLength, escaped32);
  const extra = wide.length > 0 ? 4 + 8 * wide.length : 0;
  const needed = extra > 0 ? version64 : version;
  const fields = new Fields(directoryHeaderLength + name.length + extra)
    .u32(directorySignature)
    .u16(needed, needed, utf8Name, stored, 0, firstDay)
    .u32(crc32, size, size)
    .u16(name.length, extra, 0, 0, 0)
    .u32(0, Math.min(headerOffset, escaped32))
    .put(name);
  if (extra > 0) fields.u16(zip64Extra, 8 * wide.length).u64(...wide);
  return fields.bytes;
}

/** The zip64 end record with its locator where they are needed, and the classic one. */
function endRecords(count: number, start: number, length: number): Uint8Array {
  const wide = count >= escaped16 || start >= escaped32 || length >= escaped32;
  const fields = new Fields(endLength + (wide ? end64Length + locatorLength : 0));
  if (wide) {
    fields
      .u32(end64Signature)
      .u64(end64Length - 12)
      .u16(version64, version64)
      .u32(0, 0);
    fields.u64(count, count, length, start);
    fields
      .u32(locatorSignature, 0)
      .u64(start + length)
      .u32(1);
  }
  const small = Math.min(count, escaped16);
  fields.u32(endSignature).u16(0, 0, small, small);
  return fields.u32(Math.min(length, escaped32), Math.min(start, escaped32)).u16(0).bytes;
}
