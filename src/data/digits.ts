/** Labeled images: the 10,000 MNIST digits in this package, or any pair of IDX files. */
import { fileURLToPath } from "node:url";
import { constants, gunzipSync } from "node:zlib";
import { InputError } from "../array/input-error.ts";
import { NDArray } from "../array/ndarray.ts";
import { mistakenFile } from "../formats/file-kind.ts";
import { readBytes } from "../storage/read.ts";

/** Images with one class each (N examples). */
export interface LabeledImages {
  /** Bytes, 0 is background. */
  readonly images: NDArray<"uint8">; // [N, H, W], digits: [N, 28, 28]
  readonly labels: NDArray<"int32">; // [N]
}

/** Examples to learn from, and examples never learned from. */
export interface Split {
  readonly train: LabeledImages;
  readonly heldOut: LabeledImages;
}

const heldOutPerClass = 200;

/** The packaged digits: 8,000 to train on; the last 200 of each class in file order (2,000) are held out. */
export function loadDigits(): Split {
  const file = (name: string) => fileURLToPath(new URL(`../../models/digits/${name}`, import.meta.url));
  const digits = loadIdx(file("mnist-10k-images-idx3-ubyte.gz"), file("mnist-10k-labels-idx1-ubyte.gz"));
  return splitByClass(digits, heldOutPerClass);
}

/**
 * Images and labels from two IDX files, plain or gzipped (MNIST, Fashion-MNIST, …).
 * @throws InputError if a file is unreadable or damaged, or the two do not match.
 */
export function loadIdx(imagesPath: string, labelsPath: string): LabeledImages {
  const images = decodeIdx(readBytes(imagesPath), imagesPath);
  const labels = decodeIdx(readBytes(labelsPath), labelsPath);
  if (images.shape.length !== 3)
    throw new InputError(`${imagesPath}: expected images [N, H, W], found [${images.shape}]`);
  if (labels.shape.length !== 1) throw new InputError(`${labelsPath}: expected labels [N], found [${labels.shape}]`);
  if (images.shape[0] !== labels.shape[0]) {
    throw new InputError(
      `${labelsPath}: expected ${images.shape[0]} labels for ${imagesPath}, found ${labels.shape[0]}`,
    );
  }
  return { images, labels: new NDArray("int32", labels.shape, Int32Array.from(labels.data)) };
}

/**
 * Holds out the last `perClass` examples of every class; both parts keep the file's order.
 * @throws InputError if a class has no example left to train on.
 */
export function splitByClass(all: LabeledImages, perClass: number): Split {
  const rowsOfClass = new Map<number, number[]>();
  all.labels.data.forEach((label, row) => {
    const rows = rowsOfClass.get(label);
    if (rows) rows.push(row);
    else rowsOfClass.set(label, [row]);
  });
  const heldOut = new Set<number>();
  for (const [label, rows] of rowsOfClass) {
    if (rows.length <= perClass) {
      throw new InputError(`holding out ${perClass} examples of each class: class ${label} has only ${rows.length}`);
    }
    for (const row of rows.slice(rows.length - perClass)) heldOut.add(row);
  }
  const allRows = Array.from(all.labels.data.keys());
  return {
    train: pick(
      all,
      allRows.filter((row) => !heldOut.has(row)),
    ),
    heldOut: pick(
      all,
      allRows.filter((row) => heldOut.has(row)),
    ),
  };
}

function pick(from: LabeledImages, rows: readonly number[]): LabeledImages {
  const [, height = 0, width = 0] = from.images.shape;
  const pixels = new Uint8Array(rows.length * height * width);
  rows.forEach((row, i) => {
    pixels.set(from.images.rows(row, row + 1).data, i * height * width);
  });
  return {
    images: new NDArray("uint8", [rows.length, height, width], pixels),
    labels: new NDArray(
      "int32",
      [rows.length],
      Int32Array.from(rows, (row) => from.labels.data[row]!),
    ),
  };
}

/** Bytes 0 … 255 as float32 in [-1, 1], x / 127.5 − 1, in the same shape. */
export function pixelsToUnit(bytes: NDArray<"uint8">): NDArray<"float32"> {
  const unit = Float32Array.from({ length: 256 }, (_, byte) => byte / 127.5 - 1);
  const pixels = bytes.data;
  const values = new Float32Array(pixels.length);
  for (let i = 0; i < values.length; i++) values[i] = unit[pixels[i]!]!;
  return new NDArray("float32", bytes.shape, values);
}

const unsignedByte = 0x08;
const largestPayload = 2 ** 31 - 1;

/**
 * The array in an IDX file, plain or gzipped; elements are a view into plain `bytes`.
 * `where` names the file in errors. Memory stays within the size that the header declares, whatever the gzip holds.
 * @throws InputError for a wrong magic number, dimensions or length.
 */
export function decodeIdx(bytes: Uint8Array, where = "IDX data"): NDArray<"uint8"> {
  const gzipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const head = gzipped ? unzipStart(bytes, where) : bytes;
  const { shape, offset, size } = parseHeader(head, where);
  const content = gzipped ? unzip(bytes, offset + size, where) : bytes;
  if (content.length !== offset + size) {
    const found = content.length < offset + size ? `${content.length}` : "more";
    throw new InputError(`${where}: shape [${shape}] needs ${offset + size} bytes with its header, found ${found}`);
  }
  return new NDArray("uint8", shape, new Uint8Array(content.buffer, content.byteOffset + offset, size));
}

function parseHeader(bytes: Uint8Array, where: string): { shape: number[]; offset: number; size: number } {
  if (bytes.length < 4)
    throw new InputError(`${where}: expected an IDX header of 4 bytes or more, found ${bytes.length} bytes`);
  const [zero0, zero1, type, rank] = bytes as unknown as [number, number, number, number];
  if (zero0 !== 0 || zero1 !== 0 || type !== unsignedByte || rank === 0) {
    const expected = `${where}: expected an IDX file of unsigned bytes (00 00 08 and a rank)`;
    const mistaken = mistakenFile(bytes);
    if (mistaken) throw new InputError(`${expected}, found ${mistaken.found}; ${mistaken.remedy}`);
    const found = [zero0, zero1, type, rank].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    throw new InputError(`${expected}, it starts with ${found}`);
  }
  const offset = 4 + 4 * rank;
  if (bytes.length < offset)
    throw new InputError(`${where}: ${rank} dimensions need a header of ${offset} bytes, found ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, offset);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const size = shape.reduce((product, dim) => product * dim, 1);
  if (!(size > 0 && size <= largestPayload)) {
    throw new InputError(`${where}: expected between 1 and ${largestPayload} elements, its header says [${shape}]`);
  }
  return { shape, offset, size };
}

/** The first bytes of a gzip: enough for any header. */
function unzipStart(bytes: Uint8Array, where: string): Uint8Array {
  try {
    return gunzipSync(bytes.subarray(0, 8192), { finishFlush: constants.Z_SYNC_FLUSH });
  } catch (error) {
    throw new InputError(`${where}: not a valid gzip file (${(error as Error).message})`);
  }
}

/** All of a gzip that holds `expected` bytes. */
function unzip(bytes: Uint8Array, expected: number, where: string): Uint8Array {
  try {
    return gunzipSync(bytes, { maxOutputLength: expected });
  } catch (error) {
    throw new InputError(
      `${where}: expected a gzip of ${expected} bytes as its header says, found another length or damage (${(error as Error).message})`,
    );
  }
}
