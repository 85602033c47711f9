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

  /** Decimal digits on a line; `00` and `01` are truth values. @throws InputError for other text. */
  decimal(): number | bigint | boolean {
    const line = this.line();
    if (line === "00" || line === "01") return line === "01";
    const digits = /^[+-]?\d{1,600}(?=L?$)/.exec(line)?.[0];
    if (digits === undefined) throw this.#wrongLine("an integer", line);
    return simplest(BigInt(digits.replace("+", "")));
  }

  /** A float on a line, as Python prints it. @throws InputError for other text. */
  float(): number {
    const line = this.line();
    const value = ({ inf: Infinity, "-inf": -Infinity, nan: NaN } as Record<string, number>)[line] ?? Number(line);
    if (line.trim() === "" || (Number.isNaN(value) && line !== "nan")) throw this.#wrongLine("a number", line);
    return value;
  }

  /** The number of a value that is kept, on a line. @throws InputError for other text. */
  index(): number {
    const line = this.line();
    if (!/^\d{1,15}$/.test(line)) throw this.#wrongLine("a number of a value", line);
    return Number(line);
  }

  /** Text in quotes on a line, of Python 2; its escapes stay as they are. @throws InputError without quotes. */
  quoted(): string {
    const line = this.#longLine();
    const inside = /^(['"])(.*)\1$/s.exec(line)?.[2];
    if (inside === undefined) throw this.#wrongLine("text in quotes", line);
    return inside;
  }

  /** Text on a line, with escapes for what does not fit there. */
  unicode(): string {
    return this.#longLine().replaceAll(/\\u([0-9a-fA-F]{4})/g, (_, code) => String.fromCharCode(parseInt(code, 16)));
  }

  /** A signed little-endian integer of `length` bytes. @throws InputError for one longer than any weights file has. */
  integer(length: number): number | bigint {
    if (length > longestInteger) throw new InputError(`${this.where}: an integer of ${length} bytes; refused`);
    let value = 0n;
    const bytes = this.take(length);
    for (let k = length - 1; k >= 0; k--) value = (value << 8n) | BigInt(bytes[k]!);
    return simplest(BigInt.asIntN(8 * length, value));
  }

  /** Text of any length up to the next newline; Latin-1, as protocol 0 has it. */
  #longLine(): string {
    const end = this.bytes.indexOf(newline, this.at);
    const bytes = this.take(end < 0 ? Number.POSITIVE_INFINITY : end - this.at);
    this.at++;
    return latin1.decode(bytes);
  }

  #wrongLine(expected: string, line: string): InputError {
    const found = JSON.stringify(line.slice(0, 40));
    return new InputError(`${this.where}: expected ${expected} before byte ${this.at}, found ${found}`);
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

/** A number where it is exact. */
function simplest(value: bigint): number | bigint {
  const isSafe = BigInt(Number.MIN_SAFE_INTEGER) <= value && value <= BigInt(Number.MAX_SAFE_INTEGER);
  return isSafe ? Number(value) : value;
}

const latin1 = new TextDecoder("latin1");
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const newline = 0x0a;
const longestLine = 1000;
const longestInteger = 255;
