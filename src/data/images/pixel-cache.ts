/**
 * Images of a folder, cropped once and kept as bytes in shards. A shard records the size and the time of change of its
 * source images, and the SHA-256 of its pixels. When a cache is opened, all are compared; what is missing, damaged or made
 * of other files is decoded again.
 */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { encodeSafetensors, readSafetensorsHeader } from "../../formats/safetensors.ts";
import { remove, removeTemporaries, writeAtomically } from "../../storage/atomic-write.ts";
import { holdingFolder, type LockHolder } from "../../storage/lock.ts";
import { fileStamp, listFolder, realPath, withByteRanges } from "../../storage/read.ts";
import { type UnreadableImage, unreadableImages } from "./image-errors.ts";
import type { ImageListing } from "./list-images.ts";
import { prepareImages } from "./prepare-images.ts";

export interface PixelCacheRequest {
  readonly listing: ImageListing;
  /** Side of the crop. */
  readonly size: number;
  /** Folder of all caches. */
  readonly folder: string;
  /** Aborted: keep finished shards, stop. */
  readonly signal: AbortSignal;
  readonly note: (line: string) => void;
  /** Images done of all, and how many of them were decoded now. */
  readonly onProgress?: (done: number, decoded: number, total: number) => void;
}

export interface PixelCache {
  readonly path: string;
  /** In the order of the listing. */
  readonly shards: readonly PixelShard[];
  /** Images of each shard but the last. */
  readonly shardRows: number;
  /** Of all pixels. */
  readonly sha256: string;
}

interface PixelShard {
  readonly path: string;
  /** Of the first pixel. */
  readonly offset: number;
  /** Of the pixels. */
  readonly sha256: string;
  /** How many images are not grey. */
  readonly coloured: number;
  /** How many images were smaller than the crop. */
  readonly enlarged: number;
}

/** Bytes of a shard: what a killed command does again, and what is in memory while it is filled. */
const SHARD_BYTES = 2 ** 24;
const MOST_ROWS = 8192;
/** Images that are decoded between two checks of the signal. */
const BATCH = 32;

/**
 * Opens the cache of a listing, decoding what is not there.
 * @throws InputError naming all images that cannot be read; the signal's reason.
 */
export async function openPixelCache(request: PixelCacheRequest): Promise<PixelCache> {
  const { listing, size, folder, signal, note } = request;
  const root = realPath(listing.root);
  const place = createHash("sha256").update(root).digest("hex").slice(0, 8);
  const path = join(folder, `${basename(root)}-${size}-${place}`); // of one place of images and one size
  const onWait = ({ pid, host }: LockHolder) =>
    note(`waiting for process ${pid} on ${host}, which decodes the same images into ${path}`);
  return holdingFolder(path, { onWait, signal }, async () => {
    removeTemporaries(path);
    const shardRows = Math.max(1, Math.min(MOST_ROWS, Math.floor(SHARD_BYTES / (3 * size * size))));
    const shards = await allShards(path, shardRows, request);
    const hash = createHash("sha256");
    for (const { sha256 } of shards) hash.update(sha256);
    return { path, shards, shardRows, sha256: hash.digest("hex") };
  });
}

/** The crop of an image, from its shard. @throws InputError if another run has replaced it. */
export async function cachedCrop(
  { shards, shardRows }: PixelCache,
  example: number,
  size: number,
): Promise<NDArray<"uint8">> {
  const { path, offset } = shards[Math.floor(example / shardRows)]!;
  const bytes = size * size * 3;
  try {
    const pixels = await withByteRanges(path, (file) => file.read(offset + (example % shardRows) * bytes, bytes));
    return new NDArray("uint8", [size, size, 3], pixels);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(`${error.message}; the decoded images were removed or made again by another run: start again`);
  }
}

async function allShards(path: string, shardRows: number, request: PixelCacheRequest): Promise<PixelShard[]> {
  const { listing, size, note, onProgress } = request;
  const total = listing.names.length;
  const before = shardFiles(path);
  const shards: PixelShard[] = [];
  const unreadable: UnreadableImage[] = [];
  let decoded = 0;
  for (let number = 0; number * shardRows < total; number++) {
    const [first, end] = [number * shardRows, Math.min((number + 1) * shardRows, total)];
    const sources = listing.names.slice(first, end).map((name) => sourceAt(listing.root, name));
    const kept = await keptShard(before.get(number) ?? [], [end - first, size, size, 3], sources, note);
    if (kept) {
      shards.push(kept);
      continue;
    }
    const made = await decodeImages(request, first, end, (done) => onProgress?.(first + done, decoded + done, total));
    decoded += end - first;
    unreadable.push(...made.unreadable);
    if (made.unreadable.length > 0) continue;
    shards.push(await writeShard(path, number, made.images, { ...made.counts, sources }));
  }
  if (unreadable.length > 0) throw unreadableImages(listing.root, unreadable, total);
  return shards;
}

async function decodeImages(
  { listing, size, signal }: PixelCacheRequest,
  first: number,
  end: number,
  onDecoded: (count: number) => void,
) {
  const imageBytes = size * size * 3;
  const pixels = new Uint8Array((end - first) * imageBytes);
  const unreadable: UnreadableImage[] = [];
  const counts = { coloured: 0, enlarged: 0 };
  for (let at = first; at < end; at += BATCH) {
    signal.throwIfAborted();
    const range = { first: at, end: Math.min(at + BATCH, end) };
    const { images, index, skipped, small } = await prepareImages(listing, range, size);
    for (const [i, place] of index.entries()) pixels.set(images[i]!.data, (place - first) * imageBytes);
    unreadable.push(...skipped);
    counts.coloured += images.filter(isColoured).length;
    counts.enlarged += small;
    onDecoded(range.end - first);
  }
  return { images: new NDArray("uint8", [end - first, size, size, 3], pixels), counts, unreadable };
}

/** Whether any pixel of an image [H, W, 3] is not grey. */
export function isColoured({ data }: NDArray<"uint8">): boolean {
  for (let i = 0; i < data.length; i += 3) if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return true;
  return false;
}

/** A source image: its path below the root, its bytes, and when it was changed. */
type Source = readonly [name: string, bytes: number, changedMs: number];

/** As it is now; one that cannot be seen is unlike any that could be read. */
function sourceAt(root: string, name: string): Source {
  try {
    const { size, changedMs } = fileStamp(join(root, name));
    return [name, size, changedMs];
  } catch (error) {
    if (error instanceof InputError) return [name, -1, 0];
    throw error;
  }
}

/** New content gets a new name, so that a reader of the old content never reads the new. */
const shardName = /^images-(\d{5,})-([0-9a-f]{16})\.safetensors$/;

/** The files of shards in a folder, by number. */
function shardFiles(folder: string): Map<number, string[]> {
  const files = new Map<number, string[]>();
  for (const { name } of listFolder(folder)) {
    const number = shardName.exec(name)?.[1];
    if (number !== undefined) files.set(Number(number), [...(files.get(Number(number)) ?? []), join(folder, name)]);
  }
  return files;
}

interface ShardMetadata {
  readonly sha256: string;
  readonly coloured: number;
  readonly enlarged: number;
  readonly sources: readonly Source[];
}

/** The shard in one of these files, if it is complete and made of these images; otherwise notes why it is made again. */
async function keptShard(
  files: readonly string[],
  shape: readonly number[],
  sources: readonly Source[],
  note: (line: string) => void,
): Promise<PixelShard | undefined> {
  for (const file of files) {
    const found = await readShard(file, shape);
    if (!found) {
      note(`${file} is damaged or of other images: decoding its images again`);
      continue;
    }
    const changed = sources.filter((source, i) => String(source) !== String(found.sources[i])).map(([name]) => name);
    if (changed.length === 0) return found.shard;
    const more = changed.length > 3 ? ` and ${changed.length - 3} more` : "";
    note(`images changed since they were decoded, which is done again: ${changed.slice(0, 3).join(", ")}${more}`);
  }
  return undefined;
}

/** Writes images [rows, S, S, 3] and removes older files of the same shard. */
async function writeShard(
  folder: string,
  number: number,
  images: NDArray<"uint8">,
  { coloured, enlarged, sources }: Omit<ShardMetadata, "sha256">,
): Promise<PixelShard> {
  const sha256 = createHash("sha256").update(images.data).digest("hex");
  const path = join(folder, `images-${String(number).padStart(5, "0")}-${sha256.slice(0, 16)}.safetensors`);
  const before = shardFiles(folder).get(number) ?? [];
  const metadata: ShardMetadata = { sha256, coloured, enlarged, sources };
  const pixels = JSON.stringify(metadata);
  await writeAtomically(path, encodeSafetensors(new Map([["images", images]]), { pixels }));
  for (const old of before) if (old !== path) remove(old);
  const written = await readShard(path, images.shape);
  if (!written) throw new InputError(`${path}: other bytes than were written; is the disk in order?`);
  return written.shard;
}

/** A shard with its source images; undefined if it is damaged or of another shape. Reads all of it. */
const readShard = (path: string, shape: readonly number[]) =>
  withByteRanges(path, async (file) => {
    try {
      const { entries, metadata } = await readSafetensorsHeader(file);
      const [entry] = entries;
      if (entry?.dtype !== "uint8" || String(entry.shape) !== String(shape)) return undefined;
      const { sha256, coloured, enlarged, sources } = JSON.parse(metadata.pixels ?? "{}") as ShardMetadata;
      const pixels = await file.read(entry.offset, entry.byteLength);
      if (createHash("sha256").update(pixels).digest("hex") !== sha256) return undefined;
      const shard: PixelShard = { path, offset: entry.offset, sha256, coloured, enlarged };
      return { shard, sources };
    } catch (error) {
      if (error instanceof InputError || error instanceof SyntaxError) return undefined;
      throw error;
    }
  });
