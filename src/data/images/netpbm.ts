/** Images of the Netpbm formats PBM, PGM and PPM, as text (P1 to P3) or bytes (P4 to P6). Source: the manual pages of Netpbm. */
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { roundHalfEven } from "../../array/reduce.ts";
import { requirePixels } from "./image-errors.ts";

const HASH = 0x23;
const [ZERO, NINE] = [0x30, 0x39];

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
  const digit = bytes[1]! - ZERO;
  const kind = ["PBM", "PGM", "PPM"][(digit - 1) % 3]!;
  const [isText, isBits, channels] = [digit <= 3, kind === "PBM", kind === "PPM" ? 3 : 1];
  const file = new NetpbmFile(bytes, kind);
  const [width, height] = [file.number("width"), file.number("height")];
  const maximum = isBits ? 1 : file.number("maximum");
  if (width < 1 || height < 1 || maximum < 1 || maximum > 65_535) {
    throw file.damaged(`${width} × ${height} pixels of 0 to ${maximum}`);
  }
  requirePixels(width, height);
  const raster = { width, height, count: width * height * channels, maximum };
  const values = isBits
    ? isText
      ? textBits(file, raster)
      : packedBits(file, raster)
    : isText
      ? textNumbers(file, raster)
      : binaryNumbers(file, raster);
  // Of bits 1 is black. Values are rounded as Pillow does.
  const scaled = (value: number) => (isBits ? 255 * (1 - value) : roundHalfEven((value / maximum) * 255));
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0; i < rgb.length; i++) rgb[i] = scaled(values[channels === 3 ? i : Math.trunc(i / 3)]!);
  return new NDArray("uint8", [height, width, 3], rgb);
}

/** A file behind its magic number: words between blanks and comments, then pixels. */
class NetpbmFile {
  readonly bytes: Uint8Array;
  readonly #kind: string;
  at = 2;

  constructor(bytes: Uint8Array, kind: string) {
    this.bytes = bytes;
    this.#kind = kind;
  }

  damaged(found: string): InputError {
    return new InputError(`damaged ${this.#kind} image (${found})`);
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
    throw this.damaged(`expected a number, the ${what}, found ${found}`);
  }

  /** What follows the header: one blank, then `length` bytes. */
  rest(length: number): Uint8Array {
    const rest = this.bytes.subarray(this.at + 1);
    if (rest.length < length) throw this.damaged(`expected ${length} bytes of pixels, found ${rest.length}`);
    return rest.subarray(0, length);
  }

  /** @throws InputError if there is no room for as many numbers, before memory is taken for them. */
  requireRoom(numbers: number): void {
    const left = this.bytes.length - this.at;
    if (left < numbers) throw this.damaged(`expected ${numbers} numbers, found ${left} bytes`);
  }
}

interface Raster {
  readonly count: number;
  readonly width: number;
  readonly height: number;
  readonly maximum: number;
}

type Values = Uint8Array | Uint16Array;

function textBits(file: NetpbmFile, { count }: Raster): Values {
  file.requireRoom(count);
  return Uint8Array.from({ length: count }, (_, i) => {
    file.passBlanks();
    const bit = (file.bytes[file.at++] ?? 0) - ZERO; // blanks between digits are optional
    if (bit !== 0 && bit !== 1) throw file.damaged(`expected 0 or 1 as pixel ${i}`);
    return bit;
  });
}

function textNumbers(file: NetpbmFile, { count, maximum }: Raster): Values {
  file.requireRoom(2 * count); // each behind a blank
  return Uint16Array.from({ length: count }, (_, i) => {
    const value = file.number(`value ${i} of ${count}`);
    if (value > maximum) throw file.damaged(`value ${value} is above the maximum ${maximum}`);
    return value;
  });
}

/** Eight pixels a byte, the first in the highest bit; rows begin with a byte. */
function packedBits(file: NetpbmFile, { width, height, count }: Raster): Values {
  const stride = Math.ceil(width / 8);
  const packed = file.rest(stride * height);
  return Uint8Array.from({ length: count }, (_, i) => {
    const [y, x] = [Math.trunc(i / width), i % width];
    return (packed[y * stride + (x >> 3)]! >> (7 - (x & 7))) & 1;
  });
}

/** One byte a value, or two, the higher first. Values above the maximum count as it. */
function binaryNumbers(file: NetpbmFile, { count, maximum }: Raster): Values {
  if (maximum < 256) return file.rest(count).map((value) => Math.min(value, maximum));
  const bytes = file.rest(2 * count);
  return Uint16Array.from({ length: count }, (_, i) => Math.min((bytes[2 * i]! << 8) | bytes[2 * i + 1]!, maximum));
}
