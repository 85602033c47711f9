/** `tinyfusion encode`: a folder of images to latents that diffusion transformers are trained on. */
import { join } from "node:path";
import { type ImageListing, listImages } from "../data/images/list-images.ts";
import { type EncodePlan, type EncodeSettings, encodeImages, planShards } from "../data/latents/encode-images.ts";
import { type LatentEncoder, openEncoder } from "../data/latents/encoder.ts";
import { type LatentIndex, latentPrecisions } from "../data/latents/latent-index.ts";
import { cpuEngine } from "../engine/onnx/node-engine.ts";
import { refuseInside } from "../tasks/output-names.ts";
import { classesText } from "../tasks/sampling-settings.ts";
import { required, type SettingTable, type Values } from "../tasks/settings.ts";
import { threadsSetting } from "../tasks/shared-settings.ts";
import { versions } from "../tasks/version.ts";
import { type CommandContext, command, STOPPED } from "./command.ts";
import { bytesText } from "./table.ts";

const options = {
  images: { kind: "text", help: "folder of class folders, as ImageNet; or any folder, with --labels or all one class" },
  labels: { kind: "text", help: "file of lines name,label (csv, tsv) or JSON; names are paths below --images" },
  numClasses: { kind: "integer", min: 1, help: "classes there are, where a model knows more than the folder has" },
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
  dryRun: { kind: "flag", help: "print what would be encoded and stop; writes nothing" },
  threads: threadsSetting,
} as const satisfies SettingTable;

export type EncodeOptions = Values<typeof options>;

export const encode = command({
  name: "encode",
  summary: "Crop images as DiT's training did, and store the autoencoder's posteriors of them.",
  options,
  examples: [
    "tinyfusion encode --images imagenet/train --vae hf:stabilityai/sd-vae-ft-ema --size 256 --flip --out latents/imagenet256",
    "tinyfusion encode --images photographs --labels classes.csv --vae vae.safetensors --out latents/photographs",
  ],
  run: (values, context) =>
    runEncode(values, context, () => openEncoder(required("vae", values.vae), cpuEngine({ threads: values.threads }))),
});

/** The command with any encoder; returns the exit code. */
export async function runEncode(
  values: EncodeOptions,
  context: CommandContext,
  open: () => Promise<LatentEncoder>,
): Promise<number> {
  const images = required("images", values.images);
  const vaePath = required("vae", values.vae);
  const out = values.dryRun ? undefined : required("out", values.out);
  if (out !== undefined) refuseInside(out, images);
  const listing = listImages(images, values.labels, values.numClasses);
  for (const note of listing.notes) context.note(note);
  const settings: EncodeSettings = {
    ...{ imageSize: values.size, flip: values.flip, dtype: values.dtype, batch: values.batch },
    ...(values.shardSize !== undefined && { shardSize: values.shardSize }),
  };
  const encoder = await open();
  try {
    const plan = planShards(listing.names.length, encoder, settings);
    if (out === undefined) {
      for (const line of planLines(listing, plan, values)) context.print(line);
      return 0;
    }
    if (listing.classNames) context.note(`classes: ${classesText(listing.classNames)}`);
    const { signal } = context;
    const onProgress = progressOf(listing.names.length, context);
    const run = {
      listing,
      encoder,
      vaePath,
      out,
      settings,
      signal,
      onNote: context.note,
      onProgress,
      versions: versions(),
    };
    const { done, index } = await encodeImages(run);
    if (!index) {
      context.print(`stopped at image ${done} of ${listing.names.length}; the same command goes on`);
      return STOPPED;
    }
    for (const line of resultLines(out, index)) context.print(line);
    return 0;
  } finally {
    await encoder.release();
  }
}

/** Notes skipped images at once, and shows progress with the time that is left at the pace of this run. */
function progressOf(total: number, context: CommandContext): (done: number, skipped: readonly string[]) => void {
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

function planLines(listing: ImageListing, plan: EncodePlan, { size, flip, dtype }: EncodeOptions): string[] {
  const { names, numClasses, labelsFrom } = listing;
  return [
    `images   ${names.length} of ${numClasses} classes (labels from ${labelsFrom})`,
    `crop     ${size} × ${size}, as it is${flip ? " and mirrored" : ""}`,
    `latents  ${plan.shape.join(" × ")}, mean and standard deviation in ${dtype}`,
    `shards   ${plan.shards} of up to ${plan.imagesPerShard} images, ${bytesText(plan.bytes)} in all`,
  ];
}

function resultLines(out: string, { count, numClasses, shards, skipped }: LatentIndex): string[] {
  const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  const lines = [`${count} images of ${numClasses} classes in ${shards.length} shards, ${bytesText(bytes)}`];
  if (skipped.length > 0)
    lines.push(`${skipped.length} images could not be read and were skipped; index.json lists them`);
  return [join(out, "index.json"), ...lines];
}
