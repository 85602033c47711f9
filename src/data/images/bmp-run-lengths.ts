/** The run lengths RLE8 and RLE4 of BMP images as indices of their palette. Source: Microsoft, "Bitmap Compression". */
import { InputError } from "../../array/input-error.ts";

export interface RunLengthSize {
  readonly width: number;
  readonly height: number;
  /** Of a pixel: 8 or 4. */
  readonly bits: number;
}

/** What a pair that begins with 0 means; any other is a count of pixels that follow as they are. */
const [END_OF_LINE, END, MOVE] = [0, 1, 2];

/**
 * Indices [H, W] in the order of the file. Pixels that are passed over are 0, and so are those behind the end mark; what
 * reaches beyond a row is dropped, as Pillow does.
 * @throws InputError for a file that ends before all rows.
 */
export function runLengthIndices(bytes: Uint8Array, { width, height, bits }: RunLengthSize): Uint8Array {
  const indices = new Uint8Array(width * height);
  let [at, x, y] = [0, 0, 0];
  const next = (): number => {
    if (at < bytes.length) return bytes[at++]!;
    throw new InputError(`damaged BMP image (its run lengths end in row ${y} of ${height})`);
  };
  const put = (index: number): void => {
    if (x < width) indices[y * width + x] = index;
    x++;
  };
  /** Index number `i` in a row of them: two share a byte where a pixel has 4 bits, the higher half first. */
  const half = (byte: number, i: number): number => (bits === 8 ? byte : i % 2 === 0 ? byte >> 4 : byte & 15);
  while (y < height - 1 || (y === height - 1 && x < width)) {
    const [count, value] = [next(), next()];
    if (count > 0) {
      for (let i = 0; i < count; i++) put(half(value, i));
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
        put(half(byte, i));
      }
      if (Math.ceil((value * bits) / 8) % 2 === 1) at++; // padded to an even number of bytes
    }
  }
  return indices;
}
