/** A folder of image files as images: in the sorted order of their names, with classes from class folders if there are any. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { decodeImage } from "../../data/images/decode-image.ts";
import { type ImageListing, listImages } from "../../data/images/list-images.ts";
import { openByteRanges, readBytes } from "../../storage/read.ts";
import { headLength, imageHead } from "./image-head.ts";
import { checkedRange, type ImageSet } from "./image-set.ts";

interface Size {
  readonly height: number;
  readonly width: number;
}

/**
 * Looks at the first bytes of all files and decodes the first one; the others are decoded when they are read.
 * @throws InputError for a folder without images, images beside class folders, or PNGs of several sizes.
 */
export async function folderImages(folder: string): Promise<ImageSet> {
  const listing = listImages(folder);
  if (listing.labelsFrom === "class folders" && listing.notes.length > 0) {
    throw new InputError(
      `${listing.notes.join("; ")}; move them into a class folder or away, so that all images count`,
    );
  }
  const { names } = listing;
  const size = await sizeOfFirst(listing);
  const isLossy = await lookAtAll(listing, size);
  return {
    ...{ name: folder, count: names.length, ...size, isLossy },
    ...classesOf(listing),
    async read(first, rows) {
      checkedRange(first, rows, names.length);
      const pixels = new Uint8Array(rows * size.height * size.width * 3);
      const decode = async (row: number) => {
        const image = await imageAt(listing, first + row);
        requireEqual(listing, first + row, { height: image.shape[0]!, width: image.shape[1]! }, size);
        pixels.set(image.data, row * image.size);
      };
      for (let row = 0; row < rows; row += AT_ONCE) {
        await Promise.all(Array.from({ length: Math.min(AT_ONCE, rows - row) }, (_, i) => decode(row + i)));
      }
      return new NDArray("uint8", [rows, size.height, size.width, 3], pixels);
    },
    *files(first, rows) {
      checkedRange(first, rows, names.length);
      for (const name of names.slice(first, first + rows)) yield readBytes(join(folder, name));
    },
  };
}

/** Folders called `3` and `7` say which classes they are; of `cat` and `dog` nobody knows how a model numbers them. */
function classesOf({ labels, labelsFrom, classNames = [] }: ImageListing): Pick<ImageSet, "labels" | "groups"> {
  if (labelsFrom !== "class folders") return {};
  if (!classNames.every((name) => /^\d{1,9}$/.test(name))) return { groups: labels };
  return { labels: labels.map((label) => Number(classNames[label])) };
}

/** Files that are decoded at the same time. */
const AT_ONCE = 8;

async function sizeOfFirst(listing: ImageListing): Promise<Size> {
  const [height, width] = (await imageAt(listing, 0)).shape as readonly [number, number];
  return { height, width };
}

/** Whether some are of a lossy format. @throws InputError for a PNG of another size, before any time is spent. */
async function lookAtAll(listing: ImageListing, size: Size): Promise<boolean> {
  let isLossy = false;
  for (const [i, name] of listing.names.entries()) {
    const file = await openByteRanges(join(listing.root, name));
    const head = imageHead(await file.read(0, Math.min(headLength, file.size)).finally(() => file.close()));
    if (head.size) requireEqual(listing, i, head.size, size);
    isLossy ||= head.isLossy;
  }
  return isLossy;
}

async function imageAt({ root, names }: ImageListing, i: number): Promise<NDArray<"uint8">> {
  const path = join(root, names[i]!);
  try {
    return await decodeImage(readBytes(path));
  } catch (error) {
    if (!(error instanceof InputError) || error.message.includes(path)) throw error;
    throw new InputError(`${path}: ${error.message}`, { cause: error });
  }
}

/** @throws InputError naming the image that differs from the first one. */
function requireEqual({ root, names }: ImageListing, i: number, found: Size, { height, width }: Size): void {
  if (found.height === height && found.width === width) return;
  throw new InputError(
    `${join(root, names[i]!)}: expected ${height} × ${width} pixels as ${names[0]}, found ${found.height} × ${found.width}; ` +
      "crop all images to one size first, or move those of other sizes away",
  );
}
