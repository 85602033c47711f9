/** `index.json` of a folder of latents: what its shards hold and how they were made. */

import { join } from "node:path";
import { InputError, isCount, quote } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { float32ToFloat16 } from "../../formats/float16.ts";
import { exists, jsonIfAny, readJson } from "../../storage/read.ts";
import type { UnreadableImage } from "../images/image-errors.ts";
import type { EncodedImages } from "./encoder.ts";

export const latentPrecisions = ["float32", "float16"] as const;
export type LatentPrecision = (typeof latentPrecisions)[number];

export interface ShardContent {
  readonly file: string;
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
}

export interface LatentIndex {
  readonly kind: "latents";
  readonly version: 1;
  /** Examples in all shards. */
  readonly count: number;
  readonly numClasses: number;
  /** By label. */
  readonly classNames?: readonly string[];
  /** Of one latent: [C, h, w]. */
  readonly shape: readonly [number, number, number];
  /** Side of the square that images were cropped to. */
  readonly imageSize: number;
  /** Whether every image was also encoded mirrored. */
  readonly flipped: boolean;
  readonly dtype: LatentPrecision;
  /** Models see (latent − shift) · scale. */
  readonly scale: number;
  readonly shift: number;
  readonly source: {
    readonly images: string;
    readonly labelsFrom: string;
    /** Images found, readable or not. */
    readonly listed: number;
    /** Of their names and labels. */
    readonly sha256: string;
  };
  readonly vae: { readonly path: string; readonly sha256: string };
  readonly shards: readonly ShardContent[];
  readonly skipped: readonly UnreadableImage[];
  readonly versions: Readonly<Record<string, string>>;
}

/** Nothing that is whole is encoded again. */
export const remedy = 'repeat the command "tinyfusion encode" that was begun there, which makes it again';

/** Whether this is a folder of latents, complete or begun; `readLatentIndex` says what is missing. */
export function isLatentFolder(folder: string): boolean {
  return exists(join(folder, "index.json")) || isBegun(folder);
}

/** Whether `encode` has begun to fill this folder. */
function isBegun(folder: string): boolean {
  const config = jsonIfAny(join(folder, "config.json")); // other tools' files have this name, too
  return (config as { command?: unknown } | null | undefined)?.command === "encode";
}

/** Reads and checks the index of a folder. @throws InputError if it is missing, unfinished or not an index. */
export function readLatentIndex(folder: string): LatentIndex {
  const path = join(folder, "index.json");
  if (!exists(path)) {
    throw new InputError(
      isBegun(folder)
        ? `${folder}: its latents are not complete; repeat the command "tinyfusion encode" that was begun there`
        : `${folder}: expected a folder of latents with an index.json, as "tinyfusion encode" writes it`,
    );
  }
  const index = readJson(path) as Partial<LatentIndex> | null;
  if (index?.kind !== "latents" || index.version !== 1) {
    const found = `kind ${quote(index?.kind)}, version ${quote(index?.version)}`;
    throw new InputError(`${path}: expected an index of latents of version 1, found ${found}`);
  }
  const wrong = Object.entries(checks).find(([field, isRight]) => !isRight(index[field as keyof LatentIndex]));
  if (wrong) {
    const found = quote(index[wrong[0] as keyof LatentIndex]);
    throw new InputError(`${path}: damaged: ${wrong[0]} is ${found}; ${remedy}`);
  }
  const whole = index as LatentIndex;
  const rows = whole.shards.reduce((sum, shard) => sum + shard.rows, 0);
  if (rows !== whole.count) {
    throw new InputError(`${path}: damaged: it counts ${whole.count} images, its shards have ${rows}; ${remedy}`);
  }
  return whole;
}

/** Whether a file is an index, but of a version that this program does not know. */
export function isLaterIndex(path: string): boolean {
  try {
    const { kind, version } = (readJson(path) ?? {}) as { kind?: unknown; version?: unknown };
    return kind === "latents" && typeof version === "number" && version > 1;
  } catch (error) {
    if (error instanceof InputError) return false;
    throw error;
  }
}

const isPositive = (value: unknown): value is number => isCount(value) && value > 0;

/** The fields that a reader of the latents relies on. */
const checks: { readonly [K in keyof LatentIndex]?: (value: unknown) => boolean } = {
  count: isPositive,
  numClasses: isPositive,
  shape: (value) => Array.isArray(value) && value.length === 3 && value.every(isPositive),
  flipped: (value) => typeof value === "boolean",
  dtype: (value) => latentPrecisions.some((known) => known === value),
  scale: Number.isFinite,
  shift: Number.isFinite,
  shards: (value) => Array.isArray(value) && value.every(isShard),
};

/** The file is in the folder itself: an index must not point elsewhere. */
function isShard(value: unknown): boolean {
  const { file, rows, bytes, sha256 } = (value ?? {}) as Partial<ShardContent>;
  return (
    typeof file === "string" &&
    /^[\w-]+\.safetensors$/.test(file) &&
    isCount(rows) &&
    isPositive(bytes) &&
    typeof sha256 === "string"
  );
}

/** Posteriors of images in rows [N, C, h, w]; the flipped ones only where images were encoded mirrored too. */
export const posteriorNames = (flipped: boolean): readonly (readonly [mean: string, std: string])[] =>
  flipped
    ? [
        ["mean", "std"],
        ["flippedMean", "flippedStd"],
      ]
    : [["mean", "std"]];

/** Images that were encoded together. */
interface EncodedRows {
  /** As they are and, if wanted, mirrored. */
  readonly posteriors: readonly EncodedImages[];
  readonly labels: Int32Array;
  /** Places in the listing. */
  readonly index: Int32Array;
  /** Names of the images, for messages. */
  readonly names: readonly string[];
}

/**
 * Encoded images as tensors of a file.
 * @throws InputError naming the first image with a value that is not finite, or that float16 cannot hold.
 */
export function latentTensors(rows: EncodedRows, dtype: LatentPrecision): Map<string, NDArray> {
  const { posteriors, labels, index, names } = rows;
  const tensors = new Map<string, NDArray>([
    ["labels", new NDArray("int32", [labels.length], labels)],
    ["index", new NDArray("int32", [index.length], index)],
  ]);
  for (const [i, [mean, std]] of posteriorNames(posteriors.length > 1).entries()) {
    tensors.set(mean, stored(posteriors[i]!.mean, dtype, names));
    tensors.set(std, stored(posteriors[i]!.std, dtype, names));
  }
  return tensors;
}

const largestHalf = 65_504;

function stored(values: NDArray<"float32">, dtype: LatentPrecision, names: readonly string[]): NDArray {
  const largest = dtype === "float16" ? largestHalf : Number.MAX_VALUE;
  const wrong = values.data.findIndex((value) => !(Math.abs(value) <= largest));
  if (wrong >= 0) {
    const [value, name] = [values.data[wrong]!, names[Math.floor((wrong / values.size) * names.length)]];
    throw new InputError(
      Number.isFinite(value)
        ? `${name}: a latent of ${value} is too large for float16; use \`dtype\` float32`
        : `${name}: the autoencoder gives a latent that is ${value}; are its weights damaged?`,
    );
  }
  return dtype === "float16" ? new NDArray("float16", values.shape, float32ToFloat16(values.data)) : values;
}
