/** The bytes of a pickle, read in order: opcodes and their operands, never beyond the end. */

import { InputError } from "../../array/input-error.ts";

/** The bytes ended within a pickle: a file that was cut off, or a caller that has to read further. */
export class PickleCutOff extends InputError {}

/** A position in bytes that moves on with each read. @throws PickleCutOff where the bytes end. */
export class PickleOperands {
  readonly bytes: Uint8Array;
  readonly where: string;
  readonly #view: DataView;
  at: number;

  constructor(bytes: Uint8Array, start: number, where: string) {
    this.bytes = bytes;
    this.where = where;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = start;
  }

  u8(): number {
    return this.#view.getUint8(this.#skip(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#skip(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#skip(4), true);
  }

  /** A length of 8 bytes; one that no file can have is cut off all the same. */
  u64(): number {
    return Number(this.#view.getBigUint64(this.#skip(8), true));
  }

  /** Pickle's only big-endian operand. */
  f64(): number {
    return this.#view.getFloat64(this.#skip(8), false);
  }

  /** A view of the next `length` bytes. */
  take(length: number): Uint8Array {
    const start = this.#skip(length);
    return this.bytes.subarray(start, start + length);
  }

  /** UTF-8 text of `length` bytes. @throws InputError for other bytes. */
  text(length: number): string {
    const bytes = this.take(length);
    try {
      return utf8.decode(bytes);
    } catch {
      throw new InputError(`${this.where}: expected UTF-8 text at byte ${this.at - length}, found other bytes`);
    }
  }

  /** Text up to the next newline, which is left out; the names of modules and classes. */
  line(): string {
    const end = this.bytes.subarray(this.at, this.at + longestLine).indexOf(newline);
    if (end < 0 && this.bytes.length - this.at >= longestLine) {
      throw new InputError(`${this.where}: expected a name at byte ${this.at}, found over ${longestLine} bytes`);
    }
    const text = this.text(end < 0 ? Number.POSITIVE_INFINITY : end);
    this.at++;
    return text;
  }

  /** A signed little-endian integer of `length` bytes. @throws InputError for one longer than any weights file has. */
  integer(length: number): number | bigint {
    if (length > longestInteger) throw new InputError(`${this.where}: an integer of ${length} bytes; refused`);
    let value = 0n;
    const bytes = this.take(length);
    for (let k = length - 1; k >= 0; k--) value = (value << 8n) | BigInt(bytes[k]!);
    const signed = BigInt.asIntN(8 * length, value);
    return BigInt(Number.MIN_SAFE_INTEGER) <= signed && signed <= BigInt(Number.MAX_SAFE_INTEGER)
      ? Number(signed)
      : signed;
  }

  #skip(length: number): number {
    if (this.at + length > this.bytes.length) {
      throw new PickleCutOff(
        `${this.where}: the pickle ends in the middle, after ${this.bytes.length} bytes; is the file cut off?`,
      );
    }
    this.at += length;
    return this.at - length;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const newline = 0x0a;
const longestLine = 1000;
const longestInteger = 255;
