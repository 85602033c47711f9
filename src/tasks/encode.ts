/** Encodes a folder of images to latents that diffusion transformers are trained on. */
import { listImages } from "../data/images/list-images.ts";
import { type EncodePlan, type EncodeSettings, encodeImages, planShards } from "../data/latents/encode-images.ts";
import { type LatentEncoder, openEncoder } from "../data/latents/encoder.ts";
import { type LatentIndex, latentPrecisions } from "../data/latents/latent-index.ts";
import { refuseInside } from "./output-names.ts";
import { classesText } from "./sampling-settings.ts";
import { required, type SettingTable } from "./settings.ts";
import { engineSettings } from "./shared-settings.ts";
import { startTask, type TaskContext, type TaskSettings } from "./task.ts";
import { versions } from "./version.ts";

export const encodeSettings = {
  images: { kind: "text", help: "folder of images, in class folders or with `labels`" },
  labels: { kind: "text", help: "file of name,label lines (CSV, TSV) or JSON" },
  numClasses: { kind: "integer", min: 1, help: "number of classes, where more than the folder has" },
  vae: { kind: "weights", help: "autoencoder: a weight file, or a vae folder of diffusers" },
  size: { kind: "integer", fallback: 256, min: 1, max: 8192, help: "side of the square that images are cropped to" },
  flip: { kind: "flag", help: "encode every image mirrored too; training then takes either" },
  dtype: { kind: "choice", choices: latentPrecisions, fallback: "float32", help: "precision of the latents" },
  batch: {
    kind: "integer",
    fallback: 8,
    min: 1,
    max: 1024,
    help: "images of one run; a killed command repeats one batch",
  },
  shardSize: { kind: "integer", min: 1, help: "images of one shard [256 MB of them]" },
  out: { kind: "folder", help: "folder of the latents; a begun one is completed" },
  ...engineSettings,
} as const satisfies SettingTable;

type EncodeTaskSettings = TaskSettings<typeof encodeSettings> & {
  /** Encodes instead of the autoencoder in `vae`, which still names it. */
  readonly encoder?: LatentEncoder;
};

export interface EncodeResult {
  /** False if it was stopped: the same settings complete the folder. */
  readonly finished: boolean;
  /** Images that are encoded or skipped, and all there are. */
  readonly done: number;
  readonly of: number;
  readonly out: string;
  readonly index: LatentIndex | undefined;
}

export interface EncodeTaskPlan extends EncodePlan {
  readonly images: number;
  readonly numClasses: number;
  readonly labelsFrom: string;
  readonly size: number;
  readonly flip: boolean;
  readonly dtype: string;
}

/**
 * Crops images as DiT's training does, and stores the autoencoder's posteriors of them in `out`. Stopped, it returns what
 * is there; called again with the same settings, it completes the folder.
 * @throws SettingError, InputError for images, an autoencoder or a folder that do not fit.
 */
export async function encode(settings: EncodeTaskSettings): Promise<EncodeResult> {
  const { values, listing, encoder, vaePath, context, shards } = await openEncoding(settings, true);
  try {
    const out = values.out!;
    if (listing.classNames) context.note(`classes: ${classesText(listing.classNames)}`);
    const { done, index } = await encodeImages({
      listing,
      encoder,
      vaePath,
      out,
      settings: shards,
      signal: context.signal,
      onNote: context.note,
      onProgress: progressOf(listing.names.length, context),
      versions: versions(),
    });
    return { finished: index !== undefined, done, of: listing.names.length, out, index };
  } finally {
    await encoder.release();
  }
}

/** What `encode` would write. */
export async function planEncode(settings: EncodeTaskSettings): Promise<EncodeTaskPlan> {
  const { values, listing, encoder, shards } = await openEncoding(settings, false);
  const { names, numClasses, labelsFrom } = listing;
  const { size, flip, dtype } = values;
  const plan = planShards(names.length, encoder, shards);
  await encoder.release();
  return { ...plan, images: names.length, numClasses, labelsFrom, size, flip, dtype };
}

async function openEncoding({ encoder: given, ...settings }: EncodeTaskSettings, writes: boolean) {
  const { values, context } = await startTask(encodeSettings, settings);
  const images = required("images", values.images);
  const vaePath = required("vae", values.vae);
  if (writes) refuseInside(required("out", values.out), images);
  const listing = listImages(images, values.labels, values.numClasses);
  for (const note of listing.notes) context.note(note);
  const { size: imageSize, flip, dtype, batch, shardSize } = values;
  const shards: EncodeSettings = { imageSize, flip, dtype, batch, ...(shardSize !== undefined && { shardSize }) };
  const encoder = given ?? (await openEncoder(vaePath, context.engine()));
  return { values, listing, encoder, vaePath, context, shards };
}

/** Notes skipped images at once, and shows progress with the time that is left at the pace of this run. */
function progressOf(total: number, context: TaskContext): (done: number, skipped: readonly string[]) => void {
  let first: { done: number; at: number } | undefined;
  return (done, skipped) => {
    for (const line of skipped) context.note(`skipped ${line}`);
    const now = performance.now();
    // The first batch also builds the session: the others tell the pace.
    const pace = first === undefined ? Number.NaN : (now - first.at) / (done - first.done) / 1000;
    const secondsLeft = done === total ? 0 : pace * (total - done);
    const isTransient = done < total;
    context.progress({ step: done, steps: total, images: done, secondsLeft, line: {}, isTransient });
    first ??= { done, at: now };
  };
}
