/** Image files to the squares that an encoder takes; files that cannot be read are noted. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import { openByteRanges } from "../../storage/read.ts";
import { centerCrop } from "../images/center-crop.ts";
import { decodeImage } from "../images/decode-image.ts";
import type { ImageListing } from "../images/list-images.ts";
import { imageSum } from "./image-record.ts";
import type { SkippedImage } from "./latent-index.ts";

/** Places of a listing, `end` not included. */
export interface Range {
  readonly first: number;
  readonly end: number;
}

export interface PreparedImages extends Range {
  /** Of the readable images: [S, S, 3] each. */
  readonly pictures: readonly NDArray<"uint8">[];
  /** Their places in the listing. */
  readonly index: Int32Array;
  readonly skipped: readonly SkippedImage[];
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
  const pictures: NDArray<"uint8">[] = [];
  const index: number[] = [];
  const skipped: SkippedImage[] = [];
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
      const picture = await decodeImage(bytes);
      pictures.push(centerCrop(picture, size));
      if (Math.min(picture.shape[0]!, picture.shape[1]!) < size) small++;
      index.push(place);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      skipped.push({ name, reason: error.message });
    }
  }
  return { first, end, pictures, index: Int32Array.from(index), skipped, sums, small };
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

async function imageBytes(path: string): Promise<Uint8Array> {
  const source = await openByteRanges(path);
  try {
    if (source.size > mostBytes) throw new InputError(`expected an image, found a file of ${source.size} bytes`);
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}
