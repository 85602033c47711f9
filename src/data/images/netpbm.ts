/** Images of the Netpbm formats PBM, PGM and PPM, as text (P1 to P3) or bytes (P4 to P6). Source: the manual pages of Netpbm. */
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { requirePixels } from "./pixel-limit.ts";

/** Kinds by the digit of the magic number: PBM is 1 bit, of which 1 is black. */
const kinds = {
  1: { name: "PBM", channels: 1, isText: true, isBits: true },
  2: { name: "PGM", channels: 1, isText: true, isBits: false },
  3: { name: "PPM", channels: 3, isText: true, isBits: false },
  4: { name: "PBM", channels: 1, isText: false, isBits: true },
  5: { name: "PGM", channels: 1, isText: false, isBits: false },
  6: { name: "PPM", channels: 3, isText: false, isBits: false },
} as const;

const HASH = 0x23;
const [ZERO, NINE] = [0x30, 0x39];
const LARGEST_MAXIMUM = 65_535;

const isBlank = (byte: number | undefined): boolean => byte === 0x20 || (byte !== undefined && byte >= 9 && byte <= 13);

/** Whether bytes begin as one of these formats. */
export function isNetpbm(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1]! >= 0x31 && bytes[1]! <= 0x36 && (isBlank(bytes[2]) || bytes[2] === HASH);
}

/**
 * The first image of a file as RGB [H, W, 3]. Values are scaled from 0 … maximum, which may take 16 bits, to 0 … 255.
 * @throws InputError for a damaged or truncated file, or too many pixels.
 */
export function decodeNetpbm(bytes: Uint8Array): NDArray<"uint8"> {
  const kind = kinds[(bytes[1]! - ZERO) as keyof typeof kinds];
  const text = new Text(bytes, kind.name);
  const [width, height] = [text.number("width"), text.number("height")];
  const maximum = kind.isBits ? 1 : text.number("maximum");
  if (width < 1 || height < 1 || maximum < 1 || maximum > LARGEST_MAXIMUM) {
    throw damaged(kind.name, `${width} × ${height} pixels of 0 to ${maximum}`);
  }
  requirePixels(width, height);
  const count = width * height * kind.channels;
  const read = kind.isText ? (kind.isBits ? textBits : textNumbers) : kind.isBits ? packedBits : binaryNumbers;
  const values = read(text, { count, width, height, maximum });
  const scaled = kind.isBits ? (bit: number) => (bit ? 0 : 255) : (value: number) => halfEven((value / maximum) * 255);
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0; i < rgb.length; i++) rgb[i] = scaled(values[kind.channels === 3 ? i : Math.trunc(i / 3)]!);
  return new NDArray("uint8", [height, width, 3], rgb);
}

const damaged = (name: string, found: string): InputError => new InputError(`damaged ${name} image (${found})`);

/** Python's `round`, which Pillow uses. */
function halfEven(x: number): number {
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low % 2) : Math.round(x);
}

/** A file behind its magic number, as words between blanks and comments. */
class Text {
  readonly bytes: Uint8Array;
  readonly name: string;
  at = 2;

  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.name = name;
  }

  /** Passes blanks and comments, which reach from # to the end of a line. */
  passBlanks(): void {
    for (let inComment = false; this.at < this.bytes.length; this.at++) {
      const byte = this.bytes[this.at]!;
      if (inComment) inComment = byte !== 10 && byte !== 13;
      else if (byte === HASH) inComment = true;
      else if (!isBlank(byte)) return;
    }
  }

  /** The next whole number. @throws InputError if something else is there. */
  number(what: string): number {
    this.passBlanks();
    const start = this.at;
    let value = 0;
    for (; this.at - start < 10; this.at++) {
      const byte = this.bytes[this.at] ?? 0;
      if (byte < ZERO || byte > NINE) break;
      value = 10 * value + byte - ZERO;
    }
    if (this.at > start) return value;
    const found = start < this.bytes.length ? `byte ${this.bytes[start]} at ${start}` : "the end of the file";
    throw damaged(this.name, `expected a number, the ${what}, found ${found}`);
  }

  /** What follows the header: one blank, then `length` bytes. */
  rest(length: number): Uint8Array {
    const rest = this.bytes.subarray(this.at + 1);
    if (rest.length < length) throw damaged(this.name, `expected ${length} bytes of pixels, found ${rest.length}`);
    return rest;
  }

  /** @throws InputError if there is no room for as many numbers, before memory is taken for them. */
  requireRoom(numbers: number): void {
    const left = this.bytes.length - this.at;
    if (left < numbers) throw damaged(this.name, `expected ${numbers} numbers, found ${left} bytes`);
  }
}

interface Raster {
  readonly count: number;
  readonly width: number;
  readonly height: number;
  readonly maximum: number;
}

type Values = Uint8Array | Uint16Array;

function textBits(text: Text, { count }: Raster): Values {
  text.requireRoom(count);
  const bits = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    text.passBlanks();
    const bit = (text.bytes[text.at++] ?? 0) - ZERO; // blanks between digits are optional
    if (bit !== 0 && bit !== 1) throw damaged(text.name, `expected 0 or 1 as pixel ${i}`);
    bits[i] = bit;
  }
  return bits;
}

function textNumbers(text: Text, { count, maximum }: Raster): Values {
  text.requireRoom(2 * count); // each behind a blank
  const values = new Uint16Array(count);
  for (let i = 0; i < count; i++) {
    const value = text.number(`value ${i} of ${count}`);
    if (value > maximum) throw damaged(text.name, `value ${value} is above the maximum ${maximum}`);
    values[i] = value;
  }
  return values;
}

/** Eight pixels a byte, the first in the highest bit; rows begin with a byte. */
function packedBits(text: Text, { width, height, count }: Raster): Values {
  const stride = Math.ceil(width / 8);
  const packed = text.rest(stride * height);
  const bits = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const [y, x] = [Math.trunc(i / width), i % width];
    bits[i] = (packed[y * stride + (x >> 3)]! >> (7 - (x & 7))) & 1;
  }
  return bits;
}

/** One byte a value, or two, the higher first. Values above the maximum count as it. */
function binaryNumbers(text: Text, { count, maximum }: Raster): Values {
  if (maximum < 256)
    return text
      .rest(count)
      .subarray(0, count)
      .map((value) => Math.min(value, maximum));
  const bytes = text.rest(2 * count);
  return Uint16Array.from({ length: count }, (_, i) => Math.min((bytes[2 * i]! << 8) | bytes[2 * i + 1]!, maximum));
}
