/** Image files to the squares that an encoder takes; files that cannot be read are noted. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import { openByteRanges } from "../../storage/read.ts";
import { centerCrop } from "../images/center-crop.ts";
import { decodeImage } from "../images/decode-image.ts";
import type { ImageListing } from "../images/list-images.ts";
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
  let small = 0;
  for (let place = first; place < end; place++) {
    const name = names[place]!;
    try {
      const picture = await decodeImage(await imageBytes(join(root, name)));
      pictures.push(centerCrop(picture, size));
      if (Math.min(picture.shape[0]!, picture.shape[1]!) < size) small++;
      index.push(place);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      skipped.push({ name, reason: error.message });
    }
  }
  return { first, end, pictures, index: Int32Array.from(index), skipped, small };
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
