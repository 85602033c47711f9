/**
 * A file of cropped images in bytes. It records its source images, so that changes of them are detected: the size and the time of change of each file, and the SHA-256 of its own pixels.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import { readSafetensorsHeader } from "../../formats/safetensors.ts";
import { encodeSafetensors } from "../../formats/safetensors-write.ts";
import { remove, writeAtomically } from "../../storage/atomic-write.ts";
import { fileStamp, listFolder, openByteRanges } from "../../storage/read.ts";

/** A source image: its path below the root, its bytes, and when it was changed. */
export type Source = readonly [name: string, bytes: number, changedMs: number];

/** As it is now; one that cannot be seen is unlike any that could be read. */
export function sourceAt(root: string, name: string): Source {
  try {
    const { size, changedMs } = fileStamp(join(root, name));
    return [name, size, changedMs];
  } catch (error) {
    if (error instanceof InputError) return [name, -1, 0];
    throw error;
  }
}

/** What the images of a shard are, beside their pixels. */
export interface PixelFacts {
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
export function shardFiles(folder: string): Map<number, string[]> {
  const files = new Map<number, string[]>();
  for (const { name } of listFolder(folder)) {
    const number = shardName.exec(name)?.[1];
    if (number !== undefined) files.set(Number(number), [...(files.get(Number(number)) ?? []), join(folder, name)]);
  }
  return files;
}

/** Writes images [rows, S, S, 3] and removes older files of the same shard. */
export async function writeShard(
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
export async function readShard(
  path: string,
  shape: readonly number[],
): Promise<{ readonly shard: PixelShard; readonly sources: readonly Source[] } | undefined> {
  const file = await openByteRanges(path);
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
  } finally {
    await file.close();
  }
}
