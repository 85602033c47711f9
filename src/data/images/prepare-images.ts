/** Image files to the squares that models and encoders take, in bytes and in [−1, 1]; files that cannot be read are noted. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { roundHalfEven } from "../../array/reduce.ts";
import { withByteRanges } from "../../storage/read.ts";
import { decodeImage } from "./decode-image.ts";
import type { UnreadableImage } from "./image-errors.ts";
import type { ImageListing } from "./list-images.ts";
import { resample } from "./resample.ts";

/** Half of a SHA-256 distinguishes millions of files. */
const DIGITS = 32;

/** What identifies an image file; of one that cannot be read, the empty text. */
const imageSum = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex").slice(0, DIGITS);

/** Places of a listing, `end` not included. */
export interface Range {
  readonly first: number;
  readonly end: number;
}

export interface PreparedImages extends Range {
  /** Of the readable images: [S, S, 3] each. */
  readonly images: readonly NDArray<"uint8">[];
  /** Their places in the listing. */
  readonly index: Int32Array;
  readonly skipped: readonly UnreadableImage[];
  /** By which each image of the range is known again. */
  readonly sums: readonly string[];
  /** How many of the readable images have a side shorter than S, and were enlarged. */
  readonly small: number;
}

/** Larger than any photograph. */
const mostBytes = 2 ** 30;

/** Reads, decodes and crops these images one after the other: only one of them is in memory uncropped. */
export async function prepareImages(
  { root, names }: ImageListing,
  { first, end }: Range,
  size: number,
): Promise<PreparedImages> {
  const images: NDArray<"uint8">[] = [];
  const index: number[] = [];
  const skipped: UnreadableImage[] = [];
  const sums: string[] = [];
  let small = 0;
  for (let place = first; place < end; place++) {
    const name = names[place]!;
    try {
      const bytes = await imageBytes(join(root, name)).catch((error: unknown) => {
        sums.push("");
        throw error;
      });
      sums.push(imageSum(bytes));
      const image = await decodeImage(bytes);
      images.push(centerCrop(image, size));
      if (Math.min(...image.shape.slice(0, 2)) < size) small++;
      index.push(place);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      skipped.push({ name, reason: error.message });
    }
  }
  return { first, end, images, index: Int32Array.from(index), skipped, sums, small };
}

/** Images of a listing that are not the files they were when `sums`, by place, were noted. */
export async function changedImages(
  { root, names }: ImageListing,
  sums: ReadonlyMap<number, string>,
  signal: AbortSignal,
): Promise<string[]> {
  const changed: string[] = [];
  for (const [place, sum] of sums) {
    if (signal.aborted) break;
    const name = names[place]!;
    const now = await imageBytes(join(root, name)).then(imageSum, unreadable);
    if (now !== sum) changed.push(name);
  }
  return changed;
}

function unreadable(error: unknown): string {
  if (error instanceof InputError) return "";
  throw error;
}

const imageBytes = (path: string): Promise<Uint8Array> =>
  withByteRanges(path, ({ size, read }) => {
    if (size > mostBytes) throw new InputError(`expected an image, found a file of ${size} bytes`);
    return read(0, size);
  });

/**
 * The middle `size` × `size` pixels of an image [H, W, C] whose shorter side is brought to `size`: by halves with the
 * box filter as long as it is at least twice as long, then with the bicubic filter.
 */
export function centerCrop(image: NDArray<"uint8">, size: number): NDArray<"uint8"> {
  let halved = image;
  let [h, w] = sides(halved);
  while (Math.min(h, w) >= 2 * size) {
    halved = resample(halved, Math.floor(w / 2), Math.floor(h / 2), "box");
    [h, w] = sides(halved);
  }
  const scale = size / Math.min(h, w);
  const [height, width] = [roundHalfEven(h * scale), roundHalfEven(w * scale)];
  return resample(halved, width, height, "bicubic", {
    left: Math.floor((width - size) / 2),
    top: Math.floor((height - size) / 2),
    width: size,
    height: size,
  });
}

const sides = ({ shape }: NDArray): [number, number] => [shape[0]!, shape[1]!];

/** What torchvision's `ToTensor` and `Normalize(0.5, 0.5)` make of a byte, each step rounded to float32. */
const unit = Float32Array.from({ length: 256 }, (_, byte) => Math.fround(Math.fround(byte / 255) - 0.5) / 0.5);

/** Bytes [H, W, C] of one size as images [N, C, H, W]; `mirrored` swaps left and right. */
export function unitImages(images: readonly NDArray<"uint8">[], mirrored = false): NDArray<"float32"> {
  const [h, w, channels] = images[0]!.shape as readonly [number, number, number];
  const values = new Float32Array(images.length * channels * h * w);
  let at = 0;
  for (const { data } of images) {
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < h; y++) {
        for (let x = 0; x < w; x++) values[at++] = unit[data[(y * w + (mirrored ? w - 1 - x : x)) * channels + c]!]!;
      }
    }
  }
  return new NDArray("float32", [images.length, channels, h, w], values);
}
