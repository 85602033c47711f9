/** `tinyfusion encode`. */
import { join } from "node:path";
import { type EncodeTaskPlan, encode, encodeSettings, planEncode } from "../tasks/encode.ts";
import { command, dryRunFlag, Stopped } from "./command.ts";
import { bytesText } from "./table.ts";

export const encodeCommand = command({
  name: "encode",
  summary: "Crop images as DiT's training did, and store the autoencoder's posteriors of them.",
  settings: encodeSettings,
  flags: dryRunFlag,
  examples: [
    "tinyfusion encode --images imagenet/train --vae hf:stabilityai/sd-vae-ft-ema --size 256 --flip --out latents/imagenet256",
    "tinyfusion encode --images photographs --labels classes.csv --vae vae.safetensors --out latents/photographs",
  ],
  async run(settings, { dryRun }) {
    if (dryRun) return planLines(await planEncode(settings));
    const { index, done, of, out } = await encode(settings);
    if (!index) throw new Stopped(`stopped at image ${done} of ${of}; the same command resumes`);
    const { count, numClasses, shards, skipped } = index;
    const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
    return [
      join(out, "index.json"),
      `${count} images of ${numClasses} classes in ${shards.length} shards, ${bytesText(bytes)}`,
      ...(skipped.length > 0
        ? [`${skipped.length} images could not be read and were skipped; index.json lists them`]
        : []),
    ];
  },
});

function planLines(plan: EncodeTaskPlan): string[] {
  const { images, numClasses, labelsFrom, size, flip, dtype } = plan;
  return [
    `images   ${images} of ${numClasses} classes (labels from ${labelsFrom})`,
    `crop     ${size} × ${size}, as it is${flip ? " and mirrored" : ""}`,
    `latents  ${plan.shape.join(" × ")}, mean and standard deviation in ${dtype}`,
    `shards   ${plan.shards} of up to ${plan.imagesPerShard} images, ${bytesText(plan.bytes)} in all`,
  ];
}
