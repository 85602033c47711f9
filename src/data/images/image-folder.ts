/** A folder of images as training examples in pixel space: crops in [−1, 1], in colour or grey as a model takes them. */
import { createHash } from "node:crypto";
import { NDArray, stackedRows } from "../../array/ndarray.ts";
import { uniforms } from "../../array/random.ts";
import type { TrainingSet } from "../training-set.ts";
import { unreadableImages } from "./image-errors.ts";
import type { ImageListing } from "./list-images.ts";
import { cachedCrop, type PixelCache } from "./pixel-cache.ts";
import { prepareImages, unitImages } from "./prepare-images.ts";

export interface PixelSettings {
  /** Side of the crop. */
  readonly size: number;
  /** 3 for RGB, 1 for grey. */
  readonly channels: 1 | 3;
  /** Mirror half of the reads at random, as DiT's training does: by the key "flip" of a row. */
  readonly flip: boolean;
}

/** The images of a cache. Of each read only its rows are in memory. */
export function cachedImages(listing: ImageListing, cache: PixelCache, settings: PixelSettings): TrainingSet {
  return imageFolder(listing, cache.sha256, settings, (example) => cachedCrop(cache, example, settings.size));
}

/** The images of a listing, decoded whenever they are read: for a run that writes nothing. */
export function decodedImages(listing: ImageListing, settings: PixelSettings): TrainingSet {
  return imageFolder(listing, "not decoded", settings, (example) => decodeAt(listing, example, settings.size));
}

/** An image of a listing as it is cropped for training. @throws InputError if it cannot be read. */
async function decodeAt(listing: ImageListing, place: number, size: number): Promise<NDArray<"uint8">> {
  const { images, skipped } = await prepareImages(listing, { first: place, end: place + 1 }, size);
  if (skipped.length > 0) throw unreadableImages(listing.root, skipped, listing.names.length);
  return images[0]!;
}

function imageFolder(
  { root, names, labels, numClasses, classNames }: ImageListing,
  pixels: string,
  { size, channels, flip }: PixelSettings,
  crop: (example: number) => Promise<NDArray<"uint8">>,
): TrainingSet {
  const identity = createHash("sha256").update(JSON.stringify({ pixels, size, channels, flip, numClasses }));
  return {
    size: names.length,
    numClasses,
    ...(classNames && { classNames }),
    shape: [channels, size, size],
    sha256: identity.update(labels).digest("hex"),
    async read(examples, keys) {
      if (keys.length < examples.length) {
        throw new RangeError(`${examples.length} examples need as many keys, got ${keys.length}`);
      }
      const crops = await Promise.all(Array.from(examples, (example, row) => cropAt(example, row)));
      return {
        images: stackedRows(crops),
        labels: Int32Array.from(examples, (example) => labels[example]!),
      };

      async function cropAt(example: number, row: number): Promise<NDArray<"float32">> {
        if (!(example >= 0 && example < names.length))
          throw new RangeError(`${root}: example ${example} does not exist`);
        const rgb = await crop(example);
        const isMirrored = flip && uniforms(keys[row]!("flip"), 1)[0]! < 0.5;
        return unitImages([channels === 3 ? rgb : greyOf(rgb)], isMirrored);
      }
    },
  };
}

/** RGB [H, W, 3] as luma [H, W, 1], as Pillow's `convert("L")`: ITU-R 601-2 in 16 binary places. */
export function greyOf({ shape, data }: NDArray<"uint8">): NDArray<"uint8"> {
  const grey = new Uint8Array(data.length / 3);
  for (let i = 0; i < grey.length; i++) {
    grey[i] = (data[3 * i]! * 19_595 + data[3 * i + 1]! * 38_470 + data[3 * i + 2]! * 7_471 + 0x8000) >> 16;
  }
  return new NDArray("uint8", [shape[0]!, shape[1]!, 1], grey);
}
