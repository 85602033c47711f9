/** Opens images at a path: a `.npz` file, a folder of image files, or what `generate` and `sample` wrote; and the packaged digits. */
import { basename, dirname, join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { type NDArray, sizeOf, stackedRows } from "../../array/ndarray.ts";
import { type LabeledImages, loadDigits, type Split } from "../../data/digits.ts";
import { imageFormat } from "../../data/images/decode-image.ts";
import { checkedRange, type ImageSet, npzImages } from "../../data/images/image-set.ts";
import { mistakenFile, mistakenFileBytes } from "../../formats/file-kind.ts";
import { grayToRgb, imageBytes } from "../../formats/image-bytes.ts";
import { arrayOver } from "../../formats/raw-array.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import type { StoredTensor } from "../../formats/weight-file.ts";
import {
  descriptionPath,
  readDescription,
  type SetDescription,
  shardCount,
  shardDamage,
  shardName,
  shardPath,
  shardRows,
} from "../../sampling/generation/set-description.ts";
import { unusableIndex, valueText } from "../../sampling/usable-images.ts";
import { readChecksums } from "../../storage/checksums.ts";
import { exists, fileBytes, isFolder, readJson, withByteRanges } from "../../storage/read.ts";
import { folderImages } from "./folder-images.ts";

/** Whether this is a folder of image files: not one of `generate` or `sample`, whose images are of one size. */
export const holdsImageFiles = (path: string): boolean =>
  isFolder(path) && !exists(descriptionPath(path)) && !exists(join(path, sampledName));

/**
 * The images at a path, by what is there and not by what it is called. `crop` is the side of the squares that a folder of
 * image files is cropped to; other images are of one size already.
 * @throws InputError naming what is damaged, incomplete or of another kind.
 */
export async function openImageSet(path: string, crop?: number): Promise<ImageSet> {
  if (holdsImageFiles(path)) return folderImages(path, crop);
  if (isFolder(path)) return exists(descriptionPath(path)) ? generatedImages(path) : sampledImages(path);
  if (basename(path) === sampledName) return sampledImages(dirname(path));
  const start = await withByteRanges(path, ({ size, read }) => read(0, Math.min(mistakenFileBytes, size)));
  if (String.fromCharCode(...start.subarray(0, 2)) === "PK") return npzImages(path);
  const format = imageFormat(start);
  const mistaken = mistakenFile(start);
  const other = mistaken ? `${mistaken.found}; ${mistaken.remedy}` : "another file";
  const found = format === undefined ? other : `a single ${format} image; name its folder`;
  throw new InputError(
    `${path}: expected images: a .npz file with arr_0, a folder of image files, or a folder of tinyfusion generate or ` +
      `sample; found ${found}`,
  );
}

/** @throws InputError for a set that is not complete, or a shard of other images than its description says. */
export async function generatedImages(folder: string): Promise<ImageSet> {
  const description = readDescription(folder);
  const { count, shardSize, image } = description;
  const shards = await openShards(folder, description);
  const labels = Int32Array.from(shards.flatMap((shard) => [...(shard.labels ?? [])]));
  const [height, width] = image;
  return {
    name: folder,
    count,
    height,
    width,
    isLossy: false,
    origin: description,
    ...(labels.length === count && { labels }),
    async read(first, rows) {
      checkedRange(first, rows, count);
      const parts: NDArray<"uint8">[] = [];
      for (let at = first; at < first + rows; ) {
        const shard = shards[Math.floor(at / shardSize)]!;
        const place = at % shardSize;
        const taken = Math.min(first + rows - at, shard.count - place);
        parts.push(await shard.read(place, taken));
        at += taken;
      }
      return parts.length === 1 ? parts[0]! : stackedRows(parts);
    },
  };
}

/** Pieces that are named. */
const NAMED = 5;

/** Reads all shards, as their checksums are compared. @throws InputError naming those that are missing or damaged. */
async function openShards(folder: string, description: SetDescription): Promise<ImageSet[]> {
  const sums = readChecksums(folder);
  const [shards, wrong]: [ImageSet[], string[]] = [[], []];
  for (let shard = 0; shard < shardCount(description); shard++) {
    const found = await openShard(folder, description, shard, sums.get(shardName(shard)));
    if (typeof found === "string") wrong.push(found);
    else shards.push(found);
  }
  if (wrong.length === 0) return shards;
  const more = wrong.length > NAMED ? `; and ${wrong.length - NAMED} more` : "";
  throw new InputError(
    `${folder}: expected ${description.count} images, ${wrong.length} of ${shardCount(description)} shards are missing or ` +
      `damaged (${wrong.slice(0, NAMED).join("; ")}${more}); repeat the command that began the set, which samples only those`,
  );
}

/** The images of a shard, or what is wrong with it. */
async function openShard(
  folder: string,
  description: SetDescription,
  shard: number,
  sha256: string | undefined,
): Promise<ImageSet | string> {
  const path = shardPath(folder, shard);
  const [height, width] = description.image;
  const rows = shardRows(description, shard);
  if (!exists(path)) return `${path} is missing`;
  const damage = await shardDamage(path, sha256);
  if (damage !== undefined) return damage;
  const found = await npzImages(path);
  if (found.count === rows && found.height === height && found.width === width) return found;
  return `${path}: expected ${rows} images of ${height} × ${width}, found ${found.count} of ${found.height} × ${found.width}`;
}

export const sampledName = "samples.safetensors";

/** @throws InputError for a damaged file, or latents, which are no images yet. */
export async function sampledImages(folder: string): Promise<ImageSet> {
  const path = join(folder, sampledName);
  const { tensors } = await openSafetensors(await fileBytes(path));
  const images = checkedImages(tensors.get("images"), path);
  const [count, channels, height, width] = images.shape as readonly [number, number, number, number];
  const labels = await labelsOf(tensors.get("labels"), count, path);
  const origin = join(folder, "samples.json");
  const rowBytes = 4 * channels * height * width;
  return {
    name: folder,
    count,
    height,
    width,
    isLossy: false,
    ...(labels && { labels }),
    ...(exists(origin) && { origin: readJson(origin) as Record<string, unknown> }),
    async read(first, rows) {
      checkedRange(first, rows, count);
      const { source, offset } = images.location!; // safetensors are never packed
      const bytes = await source.read(offset + first * rowBytes, rows * rowBytes);
      const values = arrayOver("float32", [rows, channels, height, width], bytes) as NDArray<"float32">;
      const wrong = unusableIndex(values.data);
      if (wrong < 0) return imageBytes(values);
      throw new InputError(
        `${path}: image ${first + Math.floor(wrong / (rowBytes / 4))} has the value ${valueText(values.data[wrong]!)}, ` +
          "expected finite numbers of about −1 to 1; sample the images again with other settings or weights",
      );
    },
  };
}

function checkedImages(found: StoredTensor | undefined, path: string): StoredTensor {
  const shape = found?.shape ?? [];
  const isImages = found?.dtype === "float32" && shape.length === 4 && sizeOf(shape) > 0;
  if (isImages && (shape[1] === 1 || shape[1] === 3)) return found;
  const held = found ? `${found.dtype} [${shape.join(", ")}]` : "none";
  const remedy = isImages ? "latents become images by tinyfusion generate with --vae" : "is it the file of sample?";
  throw new InputError(`${path}: expected images, float32 [N, 1 or 3, H, W], found ${held}; ${remedy}`);
}

async function labelsOf(found: StoredTensor | undefined, count: number, path: string): Promise<Int32Array | undefined> {
  if (!found) return undefined;
  if (found.dtype === "int32" && String(found.shape) === String([count]))
    return (await found.read()).data as Int32Array;
  throw new InputError(`${path}: expected labels, int32 [${count}], found ${found.dtype} [${found.shape.join(", ")}]`);
}

const names: { readonly [K in keyof Split]: string } = { train: "training digits", heldOut: "held-out digits" };

/** The 8,000 digits that models and the classifier learn from, or the 2,000 that they never see. */
export const digitImages = (split: keyof Split): ImageSet => labeledImages(names[split], loadDigits()[split]);

/** Gray images [N, H, W] with their classes as an image set. */
export function labeledImages(name: string, { images, labels }: LabeledImages): ImageSet {
  const [count, height, width] = images.shape as readonly [number, number, number];
  return {
    name,
    count,
    height,
    width,
    isLossy: false,
    labels: labels.data,
    async read(first, rows): Promise<NDArray<"uint8">> {
      checkedRange(first, rows, count);
      return grayToRgb(images.rows(first, first + rows));
    },
  };
}
