/**
 * BMP images of Windows and OS/2: 1, 4, 8, 16, 24 or 32 bits for each pixel, with a palette, masks or run lengths, rows
 * from below or from above. Source: Microsoft, "Bitmap Storage".
 */
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { runLengthIndices } from "./bmp-run-lengths.ts";
import { requirePixels } from "./pixel-limit.ts";

const FILE_HEADER = 14;
const CORE_HEADER = 12;

/** What the number of a compression means. */
const compressions = ["none", "RLE8", "RLE4", "masks", "JPEG", "PNG", "masks"] as const;
type Compression = (typeof compressions)[number];

interface Header {
  readonly width: number;
  readonly height: number;
  /** Whether the first row is the uppermost. */
  readonly isTopDown: boolean;
  readonly bits: number;
  readonly compression: Compression;
  /** Where the palette begins, how many colours it has, and bytes of each. */
  readonly palette: { readonly offset: number; readonly colours: number; readonly bytes: number };
  /** Of red, green and blue, where pixels are not indices. */
  readonly masks: readonly number[];
  readonly pixels: number;
}

/**
 * An image as RGB [H, W, 3]; a fourth channel is dropped.
 * @throws InputError for a damaged or truncated file, JPEG or PNG inside, or too many pixels.
 */
export function decodeBmp(bytes: Uint8Array): NDArray<"uint8"> {
  const header = parseHeader(bytes);
  const { width, height, isTopDown } = header;
  const rgb = new Uint8Array(width * height * 3);
  const writeRow = rowWriter(bytes, header);
  for (let y = 0; y < height; y++) {
    writeRow(y, rgb.subarray((isTopDown ? y : height - 1 - y) * width * 3));
  }
  return new NDArray("uint8", [height, width, 3], rgb);
}

const damaged = (found: string): InputError => new InputError(`damaged BMP image (${found})`);

function parseHeader(bytes: Uint8Array): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const size = bytes.length >= FILE_HEADER + 4 ? view.getUint32(FILE_HEADER, true) : 0;
  if (size < CORE_HEADER || bytes.length < FILE_HEADER + Math.min(size, 40)) {
    throw damaged(`expected a header, found ${bytes.length} bytes`);
  }
  const isCore = size < 16;
  const at = (offset: number): number =>
    offset < size ? view.getUint32(FILE_HEADER + offset, true) : 0; /* later versions of the header have more */
  const width = isCore ? view.getUint16(18, true) : view.getInt32(18, true);
  const rows = isCore ? view.getUint16(20, true) : view.getInt32(22, true);
  const bits = view.getUint16(isCore ? 24 : 28, true);
  const compression = compressions[isCore ? 0 : at(16)];
  if (width < 1 || rows === 0) throw damaged(`${width} × ${rows} pixels`);
  requirePixels(width, Math.abs(rows));
  if (!isKnown(bits, compression)) {
    throw new InputError(
      `expected a BMP image of pixels, found compression ${compression ?? at(16)} with ${bits} bits`,
    );
  }
  const masksBytes = compression === "masks" && size === 40 ? 12 : 0; // behind the first version of the header
  const colours = isCore ? 0 : at(32);
  const palette = {
    ...{ offset: FILE_HEADER + size + masksBytes, bytes: isCore ? 3 : 4 },
    colours: bits > 8 ? 0 : Math.min(colours || 2 ** bits, 2 ** bits),
  };
  if (bytes.length < palette.offset + palette.colours * palette.bytes) throw damaged("its palette is cut off");
  return {
    ...{ width, height: Math.abs(rows), isTopDown: rows < 0, bits, compression: compression!, palette },
    masks: compression === "masks" ? [40, 44, 48].map((o) => view.getUint32(FILE_HEADER + o, true)) : usualMasks(bits),
    pixels: view.getUint32(10, true),
  };
}

function isKnown(bits: number, compression: Compression | undefined): boolean {
  if (compression === "none") return [1, 2, 4, 8, 16, 24, 32].includes(bits);
  if (compression === "masks") return bits === 16 || bits === 32;
  return (compression === "RLE8" && bits === 8) || (compression === "RLE4" && bits === 4);
}

const usualMasks = (bits: number): number[] => (bits === 16 ? [0x7c00, 0x3e0, 0x1f] : [0xff0000, 0xff00, 0xff]);

/** Writes row `y` of the file to RGB bytes. @throws InputError if pixels are missing. */
function rowWriter(bytes: Uint8Array, header: Header): (y: number, to: Uint8Array) => void {
  const { width, height, bits, compression, pixels } = header;
  if (compression === "RLE8" || compression === "RLE4") {
    const indices = runLengthIndices(bytes.subarray(pixels), header);
    const colour = paletteWriter(bytes, header);
    return (y, to) => {
      for (let x = 0; x < width; x++) colour(indices[y * width + x]!, to, 3 * x);
    };
  }
  const stride = ((width * bits + 31) >>> 5) * 4;
  const needed = stride * (height - 1) + Math.ceil((width * bits) / 8); // the last row may lack its padding
  if (bytes.length - pixels < needed) {
    throw damaged(`expected ${needed} bytes of pixels, found ${Math.max(0, bytes.length - pixels)}`);
  }
  const writePixel = bits <= 8 ? indexedPixel(bytes, header) : maskedPixel(bytes, header);
  return (y, to) => {
    for (let x = 0; x < width; x++) writePixel(pixels + y * stride, x, to);
  };
}

type PixelWriter = (row: number, x: number, to: Uint8Array) => void;

function indexedPixel(bytes: Uint8Array, header: Header): PixelWriter {
  const { bits } = header;
  const colour = paletteWriter(bytes, header);
  const perByte = 8 / bits;
  return (row, x, to) => {
    const shift = 8 - bits * ((x % perByte) + 1);
    colour((bytes[row + Math.trunc(x / perByte)]! >> shift) & (2 ** bits - 1), to, 3 * x);
  };
}

/** Colours are stored blue first; an index beyond the palette is black. */
function paletteWriter(bytes: Uint8Array, { palette: { offset, colours, bytes: size } }: Header) {
  return (index: number, to: Uint8Array, place: number): void => {
    const from = offset + index * size;
    for (let c = 0; c < 3; c++) to[place + c] = index < colours ? bytes[from + 2 - c]! : 0;
  };
}

/** Channels of n bits become 8 bits as value · 255 / (2ⁿ − 1), cut to a whole number. */
function maskedPixel(bytes: Uint8Array, { bits, masks }: Header): PixelWriter {
  const channels = masks.map((mask) => {
    const low = mask & -mask;
    const shift = mask === 0 ? 0 : 31 - Math.clz32(low);
    return { mask, shift, largest: mask >>> shift };
  });
  const size = bits / 8;
  return (row, x, to) => {
    let pixel = 0;
    for (let i = 0; i < size; i++) pixel |= bytes[row + x * size + i]! << (8 * i);
    for (const [c, { mask, shift, largest }] of channels.entries()) {
      to[3 * x + c] = largest === 0 ? 0 : Math.trunc((((pixel & mask) >>> shift) * 255) / largest);
    }
  };
}
