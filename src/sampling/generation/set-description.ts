/** What `generate.json` says of a folder of generated images: how it is divided, and everything that its content depends on. */
import { join } from "node:path";
import { InputError, isCount } from "../../array/input-error.ts";
import { openNpz } from "../../formats/npz.ts";
import { checksumsName, fileSha256 } from "../../storage/checksums.ts";
import { fileBytes, readJson } from "../../storage/read.ts";
import { settingChanges } from "../../storage/same-settings.ts";

/** How the images of a folder are divided. */
export interface SetLayout {
  readonly count: number;
  /** Images of each shard but the last. */
  readonly shardSize: number;
  /** Height, width and channels. */
  readonly image: readonly [number, number, 3];
}

export interface SetDescription extends SetLayout, Readonly<Record<string, unknown>> {
  readonly kind: "generated images";
  readonly version: 1;
}

export const descriptionPath = (folder: string): string => join(folder, "generate.json");
/** A shard's file below the folder. */
export const shardName = (shard: number): string => `shards/${String(shard).padStart(5, "0")}.npz`;
export const shardPath = (folder: string, shard: number): string => join(folder, shardName(shard));

export const shardCount = ({ count, shardSize }: SetLayout): number => Math.ceil(count / shardSize);

/** Images of a shard. */
export const shardRows = ({ count, shardSize }: SetLayout, shard: number): number =>
  Math.min(shardSize, count - shard * shardSize);

/** Reads `generate.json`. @throws InputError for another file of this name, or one of a later version. */
export function readDescription(folder: string): SetDescription {
  const path = descriptionPath(folder);
  const found = (readJson(path) ?? {}) as Partial<Record<keyof SetLayout | "kind" | "version", unknown>>;
  const { kind, version, count, shardSize, image } = found;
  const isPositive = (value: unknown) => isCount(value) && value > 0;
  const isShape = Array.isArray(image) && image.length === 3 && image.every(isPositive) && image[2] === 3;
  if (kind === "generated images" && version === 1 && isPositive(count) && isPositive(shardSize) && isShape) {
    return found as SetDescription;
  }
  throw new InputError(
    `${path}: expected the description of generated images (kind, version 1, count, shardSize, image [H, W, 3]), ` +
      "found something else; is it damaged, or of a later tinyfusion?",
  );
}

/** Names that say where a file is, not what is in it (its SHA-256 does), and those that are compared otherwise. */
const passedOver = /^(count|roundingAlso|.*\.path|derived\.cache\.(curves|graphs|residentBytes))(\.|$)/;
/** On several threads the engine may sum long products of few rows in another order than those of many. */
const roundingOnly = /^(batch|threads|device|versions)(\.|$)/;

/** What two descriptions differ in, one line for each value: other images, or the same images up to rounding. */
export function changesBetween(before: SetDescription, now: SetDescription): Record<"content" | "rounding", string[]> {
  const changed = [...settingChanges(before, now)].filter(([name]) => !passedOver.test(name));
  return {
    content: changed.flatMap(([name, line]) => (roundingOnly.test(name) ? [] : [line])),
    rounding: changed.flatMap(([name, line]) => (roundingOnly.test(name) ? [line] : [])),
  };
}

/**
 * What is wrong with a shard, found by its checksum and its content. Reads the whole file. Shards of earlier versions have no SHA-256; the checksums of their arrays, which cover all but
 * the headers, are compared instead.
 */
export async function shardDamage(path: string, sha256: string | undefined): Promise<string | undefined> {
  try {
    if (sha256 === undefined) {
      for (const tensor of (await openNpz(await fileBytes(path))).tensors.values()) await tensor.read();
    } else if ((await fileSha256(path)) !== sha256) {
      return `${path}: damaged: its SHA-256 is not the one in ${checksumsName}`;
    }
    return undefined;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return `${path}: damaged: it cannot be read whole, or its content has another checksum than it names`;
  }
}
