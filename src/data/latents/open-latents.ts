/** Latents in shards as training examples: each read draws from the posteriors of its rows, straight from the files. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { float32, type NDArray, sizeOf } from "../../array/ndarray.ts";
import { normals, uniforms } from "../../array/random.ts";
import { mistakenFile, mistakenFileBytes } from "../../formats/file-kind.ts";
import { asFloat32 } from "../../formats/float16.ts";
import { readSafetensorsHeader, readTensor, type TensorEntry } from "../../formats/safetensors.ts";
import { sha256Of } from "../../storage/checksums.ts";
import { type ByteRanges, exists, openByteRanges } from "../../storage/read.ts";
import type { RowKey, TrainingSet } from "../training-set.ts";
import { type LatentIndex, posteriorNames, readLatentIndex, remedy, type ShardContent } from "./latent-index.ts";

export interface OpenLatentsOptions {
  /** Also compare the SHA-256 of every shard, which reads all of them. */
  readonly verify?: boolean;
}

/** A set of latents, and what is known about them. */
export interface LatentSet extends TrainingSet {
  readonly index: LatentIndex;
  release(): Promise<void>;
}

/** An open shard. */
interface Shard {
  readonly source: ByteRanges;
  readonly labels: Int32Array;
  /** Mean and standard deviation, and those of the mirrored images if there are any. */
  readonly posteriors: readonly (readonly [mean: TensorEntry, std: TensorEntry])[];
}

/**
 * Opens a folder that `encodeImages` has completed. Labels are held in memory; latents stay in the files, of which a
 * row is read when it is asked for. Row i is (mean + std · noise − shift) · scale with the noise of its key "posterior",
 * and in half of the cases, by its key "flip", of the mirrored image where there is one.
 * @throws InputError for a folder that is not complete, or a shard that is not what the index says.
 */
export async function openLatents(folder: string, { verify = false }: OpenLatentsOptions = {}): Promise<LatentSet> {
  const index = readLatentIndex(folder);
  const shards: Shard[] = [];
  const release = async () => {
    for (const { source } of shards) await source.close();
  };
  try {
    for (const content of index.shards)
      shards.push(await openShard(join(folder, content.file), content, index, verify));
  } catch (error) {
    await release();
    throw error;
  }
  return {
    index,
    size: index.count,
    numClasses: index.numClasses,
    ...(index.classNames && { classNames: index.classNames }),
    shape: index.shape,
    sha256: setSha256(index),
    read: (examples, keys) => readRows(index, shards, examples, keys),
    release,
  };
}

/** Of the contents and of what is made of them, not of paths. */
function setSha256({ shape, dtype, flipped, scale, shift, numClasses, shards }: LatentIndex): string {
  const contents = shards.map(({ sha256 }) => sha256);
  return createHash("sha256")
    .update(JSON.stringify({ shape, dtype, flipped, scale, shift, numClasses, contents }))
    .digest("hex");
}

async function openShard(path: string, content: ShardContent, index: LatentIndex, verify: boolean): Promise<Shard> {
  if (!exists(path)) throw new InputError(`${path}: missing; ${remedy}`);
  const source = await openByteRanges(path);
  try {
    if (source.size !== content.bytes) {
      const mistaken = mistakenFile(await source.read(0, Math.min(mistakenFileBytes, source.size)));
      if (mistaken) throw new InputError(`${path}: expected latents, found ${mistaken.found}; ${mistaken.remedy}`);
      throw new InputError(`${path}: ${source.size} bytes, not ${content.bytes} as index.json says; ${remedy}`);
    }
    if (verify && (await sha256Of(source)) !== content.sha256) {
      throw new InputError(`${path}: damaged: its SHA-256 is not the one in index.json; ${remedy}`);
    }
    return await shardIn(source, content, index);
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** @throws InputError if the tensors are not those that the index announces. */
async function shardIn(source: ByteRanges, { rows }: ShardContent, index: LatentIndex): Promise<Shard> {
  const { entries } = await readSafetensorsHeader(source);
  const entry = (name: string, dtype: string, shape: readonly number[]): TensorEntry => {
    const found = entries.find((one) => one.name === name);
    if (found?.dtype === dtype && String(found.shape) === String(shape)) return found;
    const is = found ? `${found.dtype} [${found.shape}]` : "none";
    throw new InputError(`${source.name}: expected a tensor ${name} of ${dtype} [${shape}], found ${is}`);
  };
  const latents = [rows, ...index.shape];
  const posteriors = posteriorNames(index.flipped).map(
    ([mean, std]) => [entry(mean, index.dtype, latents), entry(std, index.dtype, latents)] as const,
  );
  const labels = (await readTensor(source, entry("labels", "int32", [rows]))).data as Int32Array;
  const wrong = labels.find((label) => label < 0 || label >= index.numClasses);
  if (wrong !== undefined) {
    throw new InputError(
      `${source.name}: label ${wrong} is outside the classes 0 to ${index.numClasses - 1} of index.json`,
    );
  }
  return { source, labels, posteriors };
}

/** @throws RangeError for an example that does not exist or has no key. */
async function readRows(
  index: LatentIndex,
  shards: readonly Shard[],
  examples: Int32Array,
  keys: readonly RowKey[],
): Promise<{ images: NDArray<"float32">; labels: Int32Array }> {
  if (keys.length < examples.length)
    throw new RangeError(`${examples.length} examples need as many keys, got ${keys.length}`);
  const places = Array.from(examples, (example) => placeOf(shards, example));
  const size = sizeOf(index.shape);
  const values = new Float32Array(examples.length * size);
  const reading = places.map(async ({ shard, row }, i) => {
    const key = keys[i]!;
    const isFlipped = index.flipped && uniforms(key("flip"), 1)[0]! < 0.5;
    const [meanEntry, stdEntry] = shard.posteriors[isFlipped ? 1 : 0]!;
    const [mean, std] = await Promise.all([readRow(shard, meanEntry, row), readRow(shard, stdEntry, row)]);
    const noise = normals(key("posterior"), size);
    // Rounded to float32 as a latent and again as an input, as where the autoencoder draws.
    for (let j = 0; j < size; j++) {
      const latent = Math.fround(mean[j]! + std[j]! * noise[j]!);
      values[i * size + j] = (latent - index.shift) * index.scale;
    }
  });
  await Promise.all(reading);
  const labels = Int32Array.from(places, ({ shard, row }) => shard.labels[row]!);
  return { images: float32(values, [examples.length, ...index.shape]), labels };
}

function placeOf(shards: readonly Shard[], example: number): { shard: Shard; row: number } {
  let row = example;
  for (const shard of shards) {
    if (row >= 0 && row < shard.labels.length) return { shard, row };
    row -= shard.labels.length;
  }
  throw new RangeError(`example ${example} does not exist`);
}

/** One row of a tensor, as numbers. */
async function readRow({ source }: Shard, entry: TensorEntry, row: number): Promise<Float32Array> {
  const [rows, ...shape] = entry.shape as readonly [number, ...number[]];
  const byteLength = entry.byteLength / rows;
  const one = { ...entry, shape, byteLength, offset: entry.offset + row * byteLength };
  return asFloat32(await readTensor(source, one)).data;
}
