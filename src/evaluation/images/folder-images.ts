/** A folder of image files as images: in the sorted order of their names, with classes from class folders if there are any. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { decodeImage, requireImage } from "../../data/images/decode-image.ts";
import { type UnreadableImage, unreadableImages } from "../../data/images/image-errors.ts";
import { checkedRange, type ImageSet } from "../../data/images/image-set.ts";
import { type ImageListing, listImages } from "../../data/images/list-images.ts";
import { centerCrop } from "../../data/images/prepare-images.ts";
import { readBytes, withByteRanges } from "../../storage/read.ts";

interface Size {
  readonly height: number;
  readonly width: number;
}

/** Images of a listing, all of `size`, or cropped to it. */
interface FolderPlan {
  readonly listing: ImageListing;
  readonly size: Size;
  readonly isCropped: boolean;
}

/**
 * Reads the first bytes of all files and decodes the first one; the others are decoded when they are read. With
 * `crop` they are cropped to squares of that side, as for training; without, all must be of one size.
 * @throws InputError for a folder without images, images beside class folders, or naming all files that are no images and
 *   all PNGs of another size. What is found damaged when it is read is named together with all others that are.
 */
export async function folderImages(folder: string, crop?: number): Promise<ImageSet> {
  const listing = listImages(folder);
  const { names, leftOut } = listing;
  if (listing.labelsFrom === "class folders" && leftOut.length > 0) {
    throw new InputError(
      `${folder} has images beside its class folders: ${leftOut.slice(0, 10).join(", ")}${leftOut.length > 10 ? ", …" : ""}; ` +
        "move them into a class folder or away, so that all images count",
    );
  }
  const { isLossy, sizes } = await headsOf(listing);
  const size = crop === undefined ? await sizeOfFirst(listing) : { height: crop, width: crop };
  const plan = { listing, size, isCropped: crop !== undefined };
  if (!plan.isCropped) requireSizes(plan, sizes);
  return {
    name: folder,
    count: names.length,
    ...size,
    isLossy,
    ...classesOf(listing),
    async read(first, rows) {
      checkedRange(first, rows, names.length);
      const pixels = new Uint8Array(rows * size.height * size.width * 3);
      const wrong = await forEach(rows, async (row) => {
        const image = await imageAt(plan, first + row);
        pixels.set(image.data, row * image.size);
      });
      if (wrong.length > 0) throw await allUnreadable(plan);
      return new NDArray("uint8", [rows, size.height, size.width, 3], pixels);
    },
    // Files do not say how they were cropped.
    ...(!plan.isCropped && { files: (first: number, rows: number) => filesOf(listing, first, rows) }),
  };
}

function* filesOf({ root, names }: ImageListing, first: number, rows: number): Iterable<Uint8Array> {
  checkedRange(first, rows, names.length);
  for (const name of names.slice(first, first + rows)) yield readBytes(join(root, name));
}

/**
 * Class folders that are called by numbers say which classes they are, numbered in the sorted order of their names as
 * everywhere; where the numbers are others, a note says so. Class folders with other names,
 * `cat` and `dog`, are groups: how a network numbers them is unknown, and no accuracy is computed.
 */
function classesOf({
  labels,
  labelsFrom,
  classNames = [],
  notes,
}: ImageListing): Pick<ImageSet, "labels" | "groups" | "notes"> {
  if (labelsFrom !== "class folders") return {};
  const isNumbered = classNames.every((name) => /^\d+$/.test(name));
  return { ...(isNumbered ? { labels } : { groups: labels }), ...(notes.length > 0 && { notes }) };
}

/** Files that are decoded at the same time. */
const AT_ONCE = 8;

interface Wrong {
  readonly row: number;
  readonly reason: string;
}

/** Does this for rows 0 … count − 1; returns those that are wrong, by what an InputError says of them. */
async function forEach(count: number, work: (row: number) => Promise<void>): Promise<Wrong[]> {
  const wrong: Wrong[] = [];
  const attempt = async (row: number) => {
    try {
      await work(row);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      wrong.push({ row, reason: error.message });
    }
  };
  for (let row = 0; row < count; row += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - row) }, (_, i) => attempt(row + i)));
  }
  return wrong.sort((a, b) => a.row - b.row);
}

const unreadable = ({ root, names }: ImageListing, wrong: readonly Wrong[]): InputError =>
  unreadableImages(
    root,
    wrong.map(({ row, reason }): UnreadableImage => ({ name: names[row]!, reason })),
    names.length,
  );

/** One is known to be wrong: checks all, so that they can be mended at once. */
async function allUnreadable(plan: FolderPlan): Promise<InputError> {
  const { listing } = plan;
  const wrong = await forEach(listing.names.length, async (row) => {
    await imageAt(plan, row);
  });
  return unreadable(listing, wrong);
}

async function sizeOfFirst(listing: ImageListing): Promise<Size> {
  try {
    const [height, width] = (await decodeAt(listing, 0)).shape as readonly [number, number];
    return { height, width };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw await allUnreadable({ listing, size: { height: 0, width: 0 }, isCropped: true });
  }
}

/** What the first bytes of all files say. */
interface Heads {
  /** Whether some are of a lossy format. */
  readonly isLossy: boolean;
  /** By row; of PNGs only. */
  readonly sizes: ReadonlyMap<number, Size>;
}

/** @throws InputError naming all files that are no images, before any time is spent. */
async function headsOf(listing: ImageListing): Promise<Heads> {
  let isLossy = false;
  const sizes = new Map<number, Size>();
  const wrong = await forEach(listing.names.length, async (row) => {
    const bytes = await headOf(listing, row);
    requireImage(bytes);
    const head = imageHead(bytes);
    isLossy ||= head.isLossy;
    if (head.size) sizes.set(row, head.size);
  });
  if (wrong.length > 0) throw unreadable(listing, wrong);
  return { isLossy, sizes };
}

/** @throws InputError naming all PNGs of another size. */
function requireSizes(plan: FolderPlan, sizes: Heads["sizes"]): void {
  const wrong = Array.from(sizes).flatMap(([row, size]): Wrong[] => {
    const reason = otherSize(plan, size);
    return reason === undefined ? [] : [{ row, reason }];
  });
  wrong.sort((a, b) => a.row - b.row);
  if (wrong.length > 0) throw unreadable(plan.listing, wrong);
}

const headOf = ({ root, names }: ImageListing, i: number): Promise<Uint8Array> =>
  withByteRanges(join(root, names[i]!), ({ size, read }) => read(0, Math.min(headLength, size)));

const decodeAt = ({ root, names }: ImageListing, i: number): Promise<NDArray<"uint8">> =>
  decodeImage(readBytes(join(root, names[i]!)));

/** An image as the set has it. */
async function imageAt(plan: FolderPlan, i: number): Promise<NDArray<"uint8">> {
  const image = await decodeAt(plan.listing, i);
  if (plan.isCropped) return plan.size.height > 0 ? centerCrop(image, plan.size.height) : image;
  const other = otherSize(plan, { height: image.shape[0]!, width: image.shape[1]! });
  if (other !== undefined) throw new InputError(other);
  return image;
}

/** That an image has another size than the first one. */
function otherSize({ listing, size: { height, width } }: FolderPlan, found: Size): string | undefined {
  if (found.height === height && found.width === width) return undefined;
  return (
    `expected ${height} × ${width} pixels as ${listing.names[0]}, found ${found.height} × ${found.width}; ` +
    "crop all images to one size first (`size` does so), or move those of other sizes away"
  );
}

/** Bytes that are read: enough to tell an image from what people take for one. */
export const headLength = 64;
/** Of a PNG up to its size. */
const PNG_HEAD = 24;

export interface ImageHead {
  readonly isLossy: boolean;
  /** Known here for PNG only. */
  readonly size?: { readonly height: number; readonly width: number };
}

/** Files are not always what they are called: ImageNet has a PNG named JPEG. */
export function imageHead(bytes: Uint8Array): ImageHead {
  const text = String.fromCharCode(...bytes.subarray(0, headLength));
  if (text.startsWith("\xff\xd8\xff")) return { isLossy: true };
  // A WebP keeps every bit only in the form VP8L; the extended form, VP8X, may hold either.
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return { isLossy: text.slice(12, 16) !== "VP8L" };
  if (text.startsWith("ftypavi", 4)) return { isLossy: true };
  if (!text.startsWith("\x89PNG\r\n\x1a\n") || bytes.length < PNG_HEAD) return { isLossy: false };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { isLossy: false, size: { width: view.getUint32(16), height: view.getUint32(20) } };
}
