/** A folder of images to shards of latents, batch by batch, so that it can be stopped or killed at any moment and resumed. */
import { InputError } from "../../array/input-error.ts";
import { zeros } from "../../array/ndarray.ts";
import { type ImageListing, listingSha256 } from "../images/list-images.ts";
import { changedImages, type PreparedImages, prepareImages, type Range, unitImages } from "../images/prepare-images.ts";
import type { EncodedImages, LatentEncoder } from "./encoder.ts";
import { ImageRecord, someOf } from "./image-record.ts";
import { LatentFolder } from "./latent-folder.ts";
import { type LatentIndex, type LatentPrecision, latentTensors } from "./latent-index.ts";

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
  /** Receives notes: which shards are made again. */
  readonly onNote?: (line: string) => void;
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
    throw new InputError(`\`size\` ${imageSize}: the autoencoder needs a multiple of ${factor}`);
  }
  const side = imageSize / factor;
  const imageBytes = channels * side * side * (dtype === "float16" ? 2 : 4) * 2 * (flip ? 2 : 1);
  const imagesPerShard = shardSize ?? Math.max(1, Math.floor(shardBytes / imageBytes));
  const shards = Math.ceil(count / imagesPerShard);
  return { shape: [channels, side, side], imagesPerShard, shards, bytes: count * imageBytes };
}

/**
 * Encodes the images of a listing into `out`, or resumes where an earlier run was stopped or killed. Shards that are
 * missing or damaged are made again, also of a folder that was complete.
 * @throws InputError if the folder was begun with other settings or images, no image can be read, or the disk is full.
 */
export async function encodeImages(run: EncodeRun): Promise<EncodeResult> {
  const { listing, encoder, settings, out } = run;
  const total = listing.names.length;
  const plan = planShards(total, encoder, settings);
  const folder = LatentFolder.open(out);
  try {
    const known = ImageRecord.read(out);
    await folder.acquire(
      {
        command: "encode",
        imageSize: settings.imageSize,
        flip: settings.flip,
        dtype: settings.dtype,
        shardSize: plan.imagesPerShard,
        images: listingSha256(listing),
        numClasses: listing.numClasses,
        vae: encoder.sha256,
        scale: encoder.scale,
        shift: encoder.shift,
      },
      { images: known?.differenceTo(listing) },
    );
    if (known) await refuseChanged(run, known);
    const complete = folder.index();
    const missing = await missingShards(run, folder, plan, complete);
    if (complete && missing.length === 0) return { done: total, index: complete };
    const record = known ?? (await ImageRecord.begin(out, listing));
    for (const shard of missing) {
      const range = rangeOf(plan, shard, total);
      const done = await fillShard(run, folder, plan, record, range);
      if (done < range.end) return { done };
      await folder.publishShard(shard, range);
    }
    const index = await describe(run, folder, plan);
    await record.finish();
    await folder.finish(index);
    noteOthers(run, complete, index);
    return { done: total, index };
  } finally {
    folder.close();
  }
}

/** The images of a shard. */
const rangeOf = ({ imagesPerShard }: EncodePlan, shard: number, total: number): Range => ({
  first: shard * imagesPerShard,
  end: Math.min((shard + 1) * imagesPerShard, total),
});

/** @throws InputError naming images whose files are not those that were encoded. */
async function refuseChanged({ listing, out, signal }: EncodeRun, { sums }: ImageRecord): Promise<void> {
  const changed = await changedImages(listing, sums, signal);
  if (changed.length === 0) return;
  throw new InputError(
    `${out}: ${changed.length} of ${sums.size} images changed since they were encoded (${someOf(changed)}); ` +
      "put them back, choose another `out`, or delete the folder to start over",
  );
}

/** Notes shards that were made again with other numbers. */
function noteOthers({ onNote }: EncodeRun, before: LatentIndex | undefined, now: LatentIndex): void {
  const others = before?.shards.filter(({ sha256 }, i) => sha256 !== now.shards[i]?.sha256) ?? [];
  for (const { file } of others) {
    onNote?.(
      `${file} has other bytes than before, as of another machine or version: runs on these latents see other data`,
    );
  }
}

/** The shards that are to be made. Notes those that are made again, which were part of a complete folder or are damaged. */
async function missingShards(
  { listing, onNote }: EncodeRun,
  folder: LatentFolder,
  plan: EncodePlan,
  complete: LatentIndex | undefined,
): Promise<number[]> {
  const missing: number[] = [];
  for (let shard = 0; shard < plan.shards; shard++) {
    const damage = await folder.shardDamage(shard, complete?.shards[shard]);
    if (damage === undefined) {
      folder.dropPieces(rangeOf(plan, shard, listing.names.length));
      continue;
    }
    missing.push(shard);
    if (complete || damage.endsWith("damaged")) onNote?.(`encoded again: ${damage}`);
  }
  return missing;
}

/** Encodes what is missing of a shard's images; returns how far it came. The next batch is read while one is encoded. */
async function fillShard(
  run: EncodeRun,
  folder: LatentFolder,
  plan: EncodePlan,
  record: ImageRecord,
  { first, end }: Range,
): Promise<number> {
  const { listing, settings, signal, onProgress } = run;
  const prepare = (from: number): Promise<PreparedImages> => {
    const range = { first: from, end: Math.min(from + settings.batch, end) };
    const prepared = prepareImages(listing, range, settings.imageSize);
    prepared.catch(() => {}); // thrown where it is awaited
    return prepared;
  };
  await folder.dropDamagedPieces({ first, end });
  let done = folder.reached({ first, end });
  let next = done < end && !signal.aborted ? prepare(done) : undefined;
  while (next && !signal.aborted) {
    const prepared = await next;
    next = prepared.end < end ? prepare(prepared.end) : undefined;
    await encodeBatch(run, folder, plan, prepared);
    record.note(prepared.first, prepared.sums);
    done = prepared.end;
    onProgress?.(
      done,
      prepared.skipped.map(({ name, reason }) => `${name}: ${reason}`),
    );
  }
  await next; // no work continues in the background
  return done;
}

async function encodeBatch(
  { listing, encoder, settings }: EncodeRun,
  folder: LatentFolder,
  plan: EncodePlan,
  prepared: PreparedImages,
): Promise<void> {
  const { images, index, skipped } = prepared;
  const none = zeros("float32", [0, ...plan.shape]);
  const posteriors: EncodedImages[] = [];
  for (const mirrored of settings.flip ? [false, true] : [false]) {
    const encoded = images.length > 0 && (await encoder.encode(unitImages(images, mirrored)));
    posteriors.push(encoded || { mean: none, std: none });
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
  const count = shards.reduce((sum, { content }) => sum + content.rows, 0);
  if (count === 0) {
    const [{ name, reason }] = skipped as [{ name: string; reason: string }];
    throw new InputError(
      `${listing.root}: none of ${skipped.length} images could be read; the first, ${name}: ${reason}`,
    );
  }
  return {
    kind: "latents",
    version: 1,
    count,
    numClasses: listing.numClasses,
    ...(listing.classNames && { classNames: listing.classNames }),
    shape: plan.shape,
    imageSize: settings.imageSize,
    flipped: settings.flip,
    dtype: settings.dtype,
    scale: encoder.scale,
    shift: encoder.shift,
    source: {
      images: listing.root,
      labelsFrom: listing.labelsFrom,
      listed: listing.names.length,
      sha256: listingSha256(listing),
    },
    vae: { path: vaePath, sha256: encoder.sha256 },
    shards: shards.map(({ content }) => content),
    skipped,
    versions,
  };
}
