/** A folder of images to shards of latents, batch by batch, so that it can be stopped or killed at any moment and go on. */
import { InputError } from "../../array/input-error.ts";
import { zeros } from "../../array/ndarray.ts";
import { type ImageListing, listingSha256 } from "../images/list-images.ts";
import { unitImages } from "../images/unit-images.ts";
import type { EncodedImages, LatentEncoder } from "./encoder.ts";
import { LatentFolder } from "./latent-folder.ts";
import type { LatentIndex, LatentPrecision } from "./latent-index.ts";
import { type PreparedImages, prepareImages, type Range } from "./prepare-images.ts";
import { latentTensors } from "./shard-tensors.ts";

export interface EncodeSettings {
  /** Side of the squares that images are cropped to. */
  readonly imageSize: number;
  /** Encode every image mirrored too. */
  readonly flip: boolean;
  readonly dtype: LatentPrecision;
  /** Images of one run of the encoder: changes no number. */
  readonly batch: number;
  /** Images of a shard; by default about 256 MB of them. */
  readonly shardSize?: number;
}

export interface EncodeRun {
  readonly listing: ImageListing;
  readonly encoder: LatentEncoder;
  /** For the index. */
  readonly vaePath: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly out: string;
  readonly settings: EncodeSettings;
  /** Aborted: finish the batch, keep it, stop. */
  readonly signal: AbortSignal;
  /** After every batch; `done` images of the listing are encoded or skipped, also by earlier runs. */
  readonly onProgress?: (done: number, skipped: readonly string[]) => void;
}

/** How a run ended; without an index it was stopped. */
export interface EncodeResult {
  readonly done: number;
  readonly index?: LatentIndex;
}

/** What the shards of a folder will hold. */
export interface EncodePlan {
  readonly shape: readonly [number, number, number];
  readonly imagesPerShard: number;
  readonly shards: number;
  /** Of all shards together. */
  readonly bytes: number;
}

const shardBytes = 256e6;

/** @throws InputError if the encoder does not divide the image size. */
export function planShards(
  count: number,
  { channels, factor }: Pick<LatentEncoder, "channels" | "factor">,
  { imageSize, flip, dtype, shardSize }: EncodeSettings,
): EncodePlan {
  if (imageSize % factor !== 0) {
    throw new InputError(`--size ${imageSize}: the autoencoder needs a multiple of ${factor}`);
  }
  const side = imageSize / factor;
  const imageBytes = channels * side * side * (dtype === "float16" ? 2 : 4) * 2 * (flip ? 2 : 1);
  const imagesPerShard = shardSize ?? Math.max(1, Math.floor(shardBytes / imageBytes));
  const shards = Math.ceil(count / imagesPerShard);
  return { shape: [channels, side, side], imagesPerShard, shards, bytes: count * imageBytes };
}

/**
 * Encodes the images of a listing into `out`, or goes on where an earlier run was stopped or killed.
 * @throws InputError if the folder was begun with other settings, no image can be read, or the disk is full.
 */
export async function encodeImages(run: EncodeRun): Promise<EncodeResult> {
  const { listing, encoder, settings, out } = run;
  const total = listing.names.length;
  const plan = planShards(total, encoder, settings);
  const folder = LatentFolder.open(out);
  try {
    await folder.claim({
      ...{ command: "encode", imageSize: settings.imageSize, flip: settings.flip, dtype: settings.dtype },
      ...{ shardSize: plan.imagesPerShard, images: listingSha256(listing), numClasses: listing.numClasses },
      ...{ vae: encoder.sha256, scale: encoder.scale, shift: encoder.shift },
    });
    const complete = folder.index();
    if (complete) return { done: total, index: complete };
    for (let shard = 0; shard < plan.shards; shard++) {
      const [first, end] = [shard * plan.imagesPerShard, Math.min((shard + 1) * plan.imagesPerShard, total)];
      if (folder.hasShard(shard)) {
        folder.dropPieces(first);
        continue;
      }
      const done = await fillShard(run, folder, plan, { first, end });
      if (done < end) return { done };
      await folder.publishShard(shard, first);
    }
    const index = await describe(run, folder, plan);
    await folder.finish(index);
    return { done: total, index };
  } finally {
    folder.close();
  }
}

/** Encodes what is missing of a shard's images; returns how far it came. The next batch is read while one is encoded. */
async function fillShard(
  run: EncodeRun,
  folder: LatentFolder,
  plan: EncodePlan,
  { first, end }: Range,
): Promise<number> {
  const { listing, settings, signal, onProgress } = run;
  const prepare = (from: number): Promise<PreparedImages> => {
    const range = { first: from, end: Math.min(from + settings.batch, end) };
    const prepared = prepareImages(listing, range, settings.imageSize);
    prepared.catch(() => {}); // thrown where it is awaited
    return prepared;
  };
  let done = folder.reached(first);
  let next = done < end && !signal.aborted ? prepare(done) : undefined;
  while (next && !signal.aborted) {
    const prepared = await next;
    next = prepared.end < end ? prepare(prepared.end) : undefined;
    await encodeBatch(run, folder, plan, prepared);
    done = prepared.end;
    onProgress?.(
      done,
      prepared.skipped.map(({ name, reason }) => `${name}: ${reason}`),
    );
  }
  await next; // nothing goes on in the background
  return done;
}

async function encodeBatch(
  { listing, encoder, settings }: EncodeRun,
  folder: LatentFolder,
  plan: EncodePlan,
  prepared: PreparedImages,
): Promise<void> {
  const { pictures, index, skipped } = prepared;
  const posteriors: EncodedImages[] = [];
  for (const mirrored of settings.flip ? [false, true] : [false]) {
    const none = zeros("float32", [0, ...plan.shape]);
    posteriors.push(
      pictures.length > 0 ? await encoder.encode(unitImages(pictures, mirrored)) : { mean: none, std: none },
    );
  }
  const labels = index.map((place) => listing.labels[place]!);
  const names = Array.from(index, (place) => listing.names[place]!);
  await folder.savePiece(prepared, latentTensors({ posteriors, labels, index, names }, settings.dtype), skipped);
}

/** The index of the complete shards. @throws InputError if all images were skipped. */
async function describe(run: EncodeRun, folder: LatentFolder, plan: EncodePlan): Promise<LatentIndex> {
  const { listing, encoder, settings, vaePath, versions } = run;
  const shards = [];
  for (let shard = 0; shard < plan.shards; shard++) shards.push(await folder.shard(shard));
  const skipped = shards.flatMap((shard) => shard.skipped);
  const count = shards.reduce((sum, { facts }) => sum + facts.rows, 0);
  if (count === 0) {
    const [{ name, reason }] = skipped as [{ name: string; reason: string }];
    throw new InputError(
      `${listing.root}: none of ${skipped.length} images could be read; the first, ${name}: ${reason}`,
    );
  }
  return {
    ...{ kind: "latents", version: 1, count, numClasses: listing.numClasses },
    ...(listing.classNames && { classNames: listing.classNames }),
    ...{ shape: plan.shape, imageSize: settings.imageSize, flipped: settings.flip, dtype: settings.dtype },
    ...{ scale: encoder.scale, shift: encoder.shift },
    source: {
      ...{ images: listing.root, labelsFrom: listing.labelsFrom },
      ...{ listed: listing.names.length, sha256: listingSha256(listing) },
    },
    vae: { path: vaePath, sha256: encoder.sha256 },
    shards: shards.map(({ facts }) => facts),
    skipped,
    versions,
  };
}
