/** A folder of `generate` as images: its shards one behind the other, with labels and how they were made. */
import { InputError } from "../../array/input-error.ts";
import { type NDArray, stackedRows } from "../../array/ndarray.ts";
import { checkedRange, type ImageSet, npzImages } from "../../data/images/image-set.ts";
import {
  readDescription,
  type SetDescription,
  shardCount,
  shardDamage,
  shardName,
  shardPath,
  shardRows,
} from "../../sampling/generation/set-description.ts";
import { readChecksums } from "../../storage/checksums.ts";
import { exists } from "../../storage/read.ts";

/** @throws InputError for a set that is not complete, or a shard of other images than its description says. */
export async function generatedImages(folder: string): Promise<ImageSet> {
  const description = readDescription(folder);
  const { count, shardSize, image } = description;
  const shards = await openShards(folder, description);
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
