/** A folder of `generate` as images: its shards one behind the other, with labels and how they were made. */
import { InputError } from "../../array/input-error.ts";
import { type NDArray, stackedRows } from "../../array/ndarray.ts";
import { exists } from "../../storage/read.ts";
import {
  readDescription,
  type SetDescription,
  shardCount,
  shardPath,
  shardRows,
} from "../generation/set-description.ts";
import { checkedRange, type ImageSet } from "./image-set.ts";
import { npzImages } from "./npz-images.ts";

/** @throws InputError for a set that is not complete, or a shard of other images than its description says. */
export async function generatedImages(folder: string): Promise<ImageSet> {
  const description = readDescription(folder);
  const { count, shardSize, image } = description;
  const shards: ImageSet[] = [];
  for (let shard = 0; shard < shardCount(description); shard++)
    shards.push(await openShard(folder, description, shard));
  const labels = Int32Array.from(shards.flatMap((shard) => [...(shard.labels ?? [])]));
  const [height, width] = image;
  return {
    ...{ name: folder, count, height, width, isLossy: false, origin: description },
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

async function openShard(folder: string, description: SetDescription, shard: number): Promise<ImageSet> {
  const path = shardPath(folder, shard);
  const { count, image } = description;
  const [height, width] = image;
  const rows = shardRows(description, shard);
  if (!exists(path)) {
    throw new InputError(
      `${folder}: expected ${count} images, ${path} is missing; repeat the command that began the set to complete it`,
    );
  }
  const found = await npzImages(path);
  if (found.count === rows && found.height === height && found.width === width) return found;
  throw new InputError(
    `${path}: expected ${rows} images of ${height} × ${width}, found ${found.count} of ${found.height} × ${found.width}; ` +
      "repeat the command that began the set to complete it",
  );
}
