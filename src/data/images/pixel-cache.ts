/**
 * Images of a folder, cropped once and kept as bytes in shards. When it is opened, every shard is compared with its own
 * checksum and with its source images; what is missing, damaged or made of other files is decoded again.
 */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { readSafetensorsHeader } from "../../formats/safetensors.ts";
import { encodeSafetensors } from "../../formats/safetensors-write.ts";
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

/** Bytes of a shard: what a killed command does again, and what is in memory while it is filled. */
const SHARD_BYTES = 2 ** 24;
const MOST_ROWS = 8192;
/** Images that are decoded between two checks of the signal. */
const BATCH = 32;

/** Where the crops of a folder are kept: of one place of images and one size. */
const pixelCachePath = (folder: string, root: string, size: number): string => {
  const place = createHash("sha256").update(realPath(root)).digest("hex").slice(0, 8);
  return join(folder, `${basename(realPath(root))}-${size}-${place}`);
};

/**
 * Opens the cache of a listing, decoding what is not there.
 * @throws InputError naming all images that cannot be read; the signal's reason.
 */
export async function openPixelCache(request: PixelCacheRequest): Promise<PixelCache> {
  const { listing, size, folder, signal, note } = request;
  const path = pixelCachePath(folder, listing.root, size);
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

async function allShards(path: string, shardRows: number, request: PixelCacheRequest): Promise<PixelShard[]> {
  const { listing, size, signal, note, onProgress } = request;
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
    const onDecoded = (count: number) => onProgress?.(first + count, decoded + count, total);
    const made = await decodeShard(listing, { first, end, size, sources }, signal, onDecoded);
    decoded += end - first;
    unreadable.push(...made.unreadable);
    if (made.unreadable.length === 0) shards.push(await writeShard(path, number, made.images, made.facts));
  }
  if (unreadable.length > 0) throw unreadableImages(listing.root, unreadable, total);
  return shards;
}

/** The shard in one of these files, if it is whole and made of these images; else it is said why it is made again. */
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

interface ShardPlan {
  readonly first: number;
  readonly end: number;
  readonly size: number;
  readonly sources: readonly Source[];
}

interface DecodedShard {
  readonly images: NDArray<"uint8">; // [end − first, S, S, 3]
  readonly facts: PixelFacts;
  readonly unreadable: readonly UnreadableImage[];
}

async function decodeShard(
  listing: ImageListing,
  { first, end, size, sources }: ShardPlan,
  signal: AbortSignal,
  onDecoded: (count: number) => void,
): Promise<DecodedShard> {
  const imageBytes = size * size * 3;
  const pixels = new Uint8Array((end - first) * imageBytes);
  const unreadable: UnreadableImage[] = [];
  let [coloured, enlarged] = [0, 0];
  for (let at = first; at < end; at += BATCH) {
    signal.throwIfAborted();
    const range = { first: at, end: Math.min(at + BATCH, end) };
    const { images, index, skipped, small } = await prepareImages(listing, range, size);
    for (const [i, place] of index.entries()) pixels.set(images[i]!.data, (place - first) * imageBytes);
    unreadable.push(...skipped);
    coloured += images.filter(isColoured).length;
    enlarged += small;
    onDecoded(range.end - first);
  }
  return {
    images: new NDArray("uint8", [end - first, size, size, 3], pixels),
    facts: { sources, coloured, enlarged },
    unreadable,
  };
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

/** What the images of a shard are, beside their pixels. */
interface PixelFacts {
  readonly sources: readonly Source[];
  /** How many are not grey. */
  readonly coloured: number;
  /** How many were smaller than the crop, and were enlarged. */
  readonly enlarged: number;
}

/** Where the pixels of a shard are. */
export interface PixelShard extends Omit<PixelFacts, "sources"> {
  readonly path: string;
  /** Of the first pixel. */
  readonly offset: number;
  readonly rows: number;
  /** Of the pixels. */
  readonly sha256: string;
}

/** A new content gets a new name, so that who reads the old one is never given the new one instead. */
const shardName = /^images-(\d{5,})-([0-9a-f]{16})\.safetensors$/;
const named = (number: number, sha256: string): string =>
  `images-${String(number).padStart(5, "0")}-${sha256.slice(0, 16)}.safetensors`;

/** The files of shards in a folder, by number. */
function shardFiles(folder: string): Map<number, string[]> {
  const files = new Map<number, string[]>();
  for (const { name } of listFolder(folder)) {
    const number = shardName.exec(name)?.[1];
    if (number !== undefined) files.set(Number(number), [...(files.get(Number(number)) ?? []), join(folder, name)]);
  }
  return files;
}

/** Writes images [rows, S, S, 3] and removes older files of the same shard. */
async function writeShard(
  folder: string,
  number: number,
  images: NDArray<"uint8">,
  { sources, coloured, enlarged }: PixelFacts,
): Promise<PixelShard> {
  const sha256 = createHash("sha256").update(images.data).digest("hex");
  const path = join(folder, named(number, sha256));
  const before = shardFiles(folder).get(number) ?? [];
  const metadata = { pixels: JSON.stringify({ sha256, coloured, enlarged, sources }) };
  await writeAtomically(path, encodeSafetensors(new Map([["images", images]]), metadata));
  for (const old of before) if (old !== path) remove(old);
  const written = await readShard(path, images.shape);
  if (!written) throw new InputError(`${path}: other bytes than were written; is the disk in order?`);
  return written.shard;
}

/** A shard with its source images; undefined if it is damaged or of another shape. Reads all of it. */
async function readShard(
  path: string,
  shape: readonly number[],
): Promise<{ readonly shard: PixelShard; readonly sources: readonly Source[] } | undefined> {
  return withByteRanges(path, async (file) => {
    try {
      const { entries, metadata } = await readSafetensorsHeader(file);
      const [entry] = entries;
      if (entry?.dtype !== "uint8" || String(entry.shape) !== String(shape)) return undefined;
      const { sha256, coloured, enlarged, sources } = JSON.parse(metadata.pixels ?? "{}") as PixelFacts & {
        sha256: string;
      };
      const pixels = await file.read(entry.offset, entry.byteLength);
      if (createHash("sha256").update(pixels).digest("hex") !== sha256) return undefined;
      return { shard: { path, offset: entry.offset, rows: shape[0]!, sha256, coloured, enlarged }, sources };
    } catch (error) {
      if (error instanceof InputError || error instanceof SyntaxError) return undefined;
      throw error;
    }
  });
}
