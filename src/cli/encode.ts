/** `tinyfusion encode`. */
import { join } from "node:path";
import { type EncodeTaskPlan, encode, encodeSettings, planEncode } from "../tasks/encode.ts";
import { command, STOPPED, taskSettings } from "./command.ts";
import { bytesText } from "./table.ts";
import { dryRunOption } from "./training-command.ts";

export const encodeCommand = command({
  name: "encode",
  summary: "Crop images as DiT's training did, and store the autoencoder's posteriors of them.",
  options: { ...encodeSettings, ...dryRunOption },
  examples: [
    "tinyfusion encode --images imagenet/train --vae hf:stabilityai/sd-vae-ft-ema --size 256 --flip --out latents/imagenet256",
    "tinyfusion encode --images photographs --labels classes.csv --vae vae.safetensors --out latents/photographs",
  ],
  async run({ dryRun, ...values }, context) {
    const settings = taskSettings("encode", values, context, {});
    if (dryRun) {
      for (const line of planLines(await planEncode(settings))) context.print(line);
      return 0;
    }
    const { index, done, of, out } = await encode(settings);
    if (!index) {
      context.print(`stopped at image ${done} of ${of}; the same command resumes`);
      return STOPPED;
    }
    const { count, numClasses, shards, skipped } = index;
    const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
    context.print(join(out, "index.json"));
    context.print(`${count} images of ${numClasses} classes in ${shards.length} shards, ${bytesText(bytes)}`);
    if (skipped.length > 0)
      context.print(`${skipped.length} images could not be read and were skipped; index.json lists them`);
    return 0;
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
