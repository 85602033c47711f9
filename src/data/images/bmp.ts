/**
 * BMP images of Windows and OS/2: 1, 2, 4, 8, 16, 24 or 32 bits for each pixel, with a palette, masks or run lengths, rows
 * from below or from above. Source: Microsoft, "Bitmap Storage" and "Bitmap Compression". (The decoders on npm read
 * fewer kinds, and trust the size that a file states.)
 */
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { requirePixels } from "./image-errors.ts";

const FILE_HEADER = 14;
const CORE_HEADER = 12;

/** What the number of a compression means. */
const compressions = ["none", "RLE8", "RLE4", "masks", "JPEG", "PNG", "masks"] as const;

interface Header {
  readonly width: number;
  readonly height: number;
  /** Whether the first row is the uppermost. */
  readonly isTopDown: boolean;
  readonly bits: number;
  readonly isRunLength: boolean;
  /** Where the palette begins, how many colours it has, and bytes of each. */
  readonly palette: { readonly offset: number; readonly colours: number; readonly bytes: number };
  /** Of red, green and blue, where pixels are not indices. */
  readonly masks: readonly number[];
  /** Where the pixels begin. */
  readonly offset: number;
}

/**
 * An image as RGB [H, W, 3]; a fourth channel is dropped.
 * @throws InputError for a damaged or truncated file, JPEG or PNG inside, or too many pixels.
 */
export function decodeBmp(bytes: Uint8Array): NDArray<"uint8"> {
  const header = parseHeader(bytes);
  const { width, height, isTopDown, bits } = header;
  const colourAt = bits <= 8 ? paletteColours(bytes, header) : maskedColours(bytes, header);
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const row = (isTopDown ? y : height - 1 - y) * width;
    for (let x = 0; x < width; x++) colourAt(x, y, rgb, 3 * (row + x));
  }
  return new NDArray("uint8", [height, width, 3], rgb);
}

/** Writes the colour of a pixel, in the order of the file, to RGB bytes. */
type ColourAt = (x: number, y: number, rgb: Uint8Array, to: number) => void;

const damaged = (found: string): InputError => new InputError(`damaged BMP image (${found})`);

function parseHeader(bytes: Uint8Array): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const size = bytes.length >= FILE_HEADER + 4 ? view.getUint32(FILE_HEADER, true) : 0;
  if (size < CORE_HEADER || bytes.length < FILE_HEADER + Math.min(size, 40)) {
    throw damaged(`expected a header, found ${bytes.length} bytes`);
  }
  const isCore = size < 16;
  const at = (offset: number): number => (offset < size ? view.getUint32(FILE_HEADER + offset, true) : 0);
  const width = isCore ? view.getUint16(18, true) : view.getInt32(18, true);
  const rows = isCore ? view.getUint16(20, true) : view.getInt32(22, true);
  const bits = view.getUint16(isCore ? 24 : 28, true);
  const compression = compressions[isCore ? 0 : at(16)];
  if (width < 1 || rows === 0) throw damaged(`${width} × ${rows} pixels`);
  requirePixels(width, Math.abs(rows));
  const depths = { none: [1, 2, 4, 8, 16, 24, 32], masks: [16, 32], RLE8: [8], RLE4: [4], JPEG: [], PNG: [] };
  if (compression === undefined || !(depths[compression] as number[]).includes(bits)) {
    const found = `compression ${compression ?? at(16)} with ${bits} bits`;
    throw new InputError(`expected a BMP image of pixels, found ${found}`);
  }
  const masksBytes = compression === "masks" && size === 40 ? 12 : 0; // behind the first version of the header
  const colours = bits > 8 ? 0 : Math.min((isCore ? 0 : at(32)) || 2 ** bits, 2 ** bits);
  const palette = { offset: FILE_HEADER + size + masksBytes, colours, bytes: isCore ? 3 : 4 };
  if (bytes.length < palette.offset + colours * palette.bytes) throw damaged("its palette is cut off");
  const usualMasks = bits === 16 ? [0x7c00, 0x3e0, 0x1f] : [0xff0000, 0xff00, 0xff];
  return {
    width,
    height: Math.abs(rows),
    isTopDown: rows < 0,
    bits,
    isRunLength: compression.startsWith("RLE"),
    palette,
    masks: compression === "masks" ? [40, 44, 48].map((o) => view.getUint32(FILE_HEADER + o, true)) : usualMasks,
    offset: view.getUint32(10, true),
  };
}

/** Bytes from one row to the next, where all are there; the last one may lack its padding. */
function strideOf(bytes: Uint8Array, { width, height, bits, offset }: Header): number {
  const stride = ((width * bits + 31) >>> 5) * 4;
  const needed = stride * (height - 1) + Math.ceil((width * bits) / 8);
  const found = Math.max(0, bytes.length - offset);
  if (found < needed) throw damaged(`expected ${needed} bytes of pixels, found ${found}`);
  return stride;
}

/** Colours are stored blue first; an index beyond the palette is black. */
function paletteColours(bytes: Uint8Array, header: Header): ColourAt {
  const { width, bits, offset, palette } = header;
  const indices = header.isRunLength ? runLengthIndices(bytes.subarray(offset), header) : undefined;
  const stride = indices ? 0 : strideOf(bytes, header);
  const perByte = 8 / bits;
  const indexAt = (x: number, y: number): number => {
    if (indices) return indices[y * width + x]!;
    const byte = bytes[offset + y * stride + Math.trunc(x / perByte)]!;
    return (byte >> (8 - bits * ((x % perByte) + 1))) & (2 ** bits - 1);
  };
  return (x, y, rgb, to) => {
    const index = indexAt(x, y);
    const from = palette.offset + index * palette.bytes;
    for (let c = 0; c < 3; c++) rgb[to + c] = index < palette.colours ? bytes[from + 2 - c]! : 0;
  };
}

/** Channels of n bits become 8 bits as value · 255 / (2ⁿ − 1), cut to a whole number. */
function maskedColours(bytes: Uint8Array, header: Header): ColourAt {
  const stride = strideOf(bytes, header);
  const size = header.bits / 8;
  const channels = header.masks.map((mask) => {
    const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
    return { mask, shift, largest: mask >>> shift };
  });
  return (x, y, rgb, to) => {
    let pixel = 0;
    for (let i = 0; i < size; i++) pixel |= bytes[header.offset + y * stride + x * size + i]! << (8 * i);
    for (const [c, { mask, shift, largest }] of channels.entries()) {
      rgb[to + c] = largest === 0 ? 0 : Math.trunc((((pixel & mask) >>> shift) * 255) / largest);
    }
  };
}

/** What a pair that begins with 0 means; any other is a count of pixels that follow as they are. */
const [END_OF_LINE, END, MOVE] = [0, 1, 2];

/**
 * Indices [H, W] of RLE8 and RLE4 in the order of the file. Pixels that are passed over are 0, and so are those behind the
 * end mark; what reaches beyond a row is dropped, as Pillow does.
 * @throws InputError for a file that ends before all rows.
 */
function runLengthIndices(bytes: Uint8Array, { width, height, bits }: Header): Uint8Array {
  const indices = new Uint8Array(width * height);
  let [at, x, y] = [0, 0, 0];
  const next = (): number => {
    if (at < bytes.length) return bytes[at++]!;
    throw damaged(`its run lengths end in row ${y} of ${height}`);
  };
  /** Pixel number `i` of a run: with 4 bits two share a byte, the higher half first. */
  const put = (byte: number, i: number): void => {
    if (x < width) indices[y * width + x] = bits === 8 ? byte : i % 2 === 0 ? byte >> 4 : byte & 15;
    x++;
  };
  while (y < height - 1 || (y === height - 1 && x < width)) {
    const [count, value] = [next(), next()];
    if (count > 0) {
      for (let i = 0; i < count; i++) put(value, i);
    } else if (value === END) {
      break;
    } else if (value === END_OF_LINE) {
      [x, y] = [0, y + 1];
    } else if (value === MOVE) {
      [x, y] = [x + next(), y + next()];
    } else {
      let byte = 0;
      for (let i = 0; i < value; i++) {
        if (bits === 8 || i % 2 === 0) byte = next();
        put(byte, i);
      }
      if (Math.ceil((value * bits) / 8) % 2 === 1) at++; // padded to an even number of bytes
    }
  }
  return indices;
}
