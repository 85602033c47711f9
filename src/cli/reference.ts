/** `tinyfusion reference`: statistics of real images, made once and compared with often. */

import { cpuEngine } from "../engine/onnx/node-engine.ts";
import { placeOf } from "../evaluation/features/stored-features.ts";
import { holdsImageFiles, openImageSet } from "../evaluation/images/open-image-set.ts";
import { withMetricKernels } from "../evaluation/metrics/kernels.ts";
import { networkText } from "../evaluation/reference/reference.ts";
import { writeReferenceFile } from "../evaluation/reference/reference-file.ts";
import { remove, requireWritableFile } from "../storage/atomic-write.ts";
import { exists, listFolder } from "../storage/read.ts";
import { featureSettings, openNetwork, openReference, referenceSettings } from "../tasks/evaluation-settings.ts";
import { required, SettingError, type SettingTable } from "../tasks/settings.ts";
import { threadsSetting } from "../tasks/shared-settings.ts";
import { command, STOPPED, unlessStopped } from "./command.ts";

const options = {
  out: { kind: "text", help: "the reference, a .npz file with mu, sigma, mu_s, sigma_s, features and small pictures" },
  ...featureSettings,
  size: referenceSettings.size,
  keep: { ...referenceSettings.keep, help: "images of which features and small pictures are stored, drawn at random" },
  stored: {
    kind: "text",
    help: "folder that keeps features while they are computed, so that the command can be stopped; 20 kB an image with Inception [OUT.features, removed at the end]",
  },
  threads: threadsSetting,
} as const satisfies SettingTable;

export const reference = command({
  name: "reference",
  summary: "Make the statistics of real images that generated ones are compared with.",
  argument: "<images>",
  options,
  examples: [
    "tinyfusion reference imagenet/train-256 --inception-weights pt_inception-2015-12-05-6726825d.pth --out imagenet256.npz",
    "tinyfusion reference VIRTUAL_imagenet256_labeled.npz --inception-weights inception-2015-12-05.pt --out adm-batch.npz",
  ],
  async run(values, context, path) {
    const out = npzName(required("out", values.out));
    const { note } = context;
    if (values.size !== undefined && !holdsImageFiles(path!)) {
      throw new SettingError(`--size crops folders of image files; ${path} is none`);
    }
    requireWritableFile(out);
    const images = await openImageSet(path!, values.size);
    for (const line of images.notes ?? []) note(line);
    const engine = cpuEngine({ threads: values.threads });
    const network = await openNetwork(values, images, engine);
    const folder = values.stored ?? `${out}.features`;
    try {
      const request = { network, images, folder, context };
      const work = () =>
        withMetricKernels(engine, (kernels) =>
          openReference({ reference: path, keep: values.keep }, { kernels, ...request }),
        );
      const made = await unlessStopped(context, work, "stopped; finished features stay, the same command goes on");
      if (!made) return STOPPED;
      await writeReferenceFile(out, made);
      if (values.stored === undefined) await removeFeatures(folder, { network, images });
      if (images.isLossy) note(`${path}: lossy images (JPEG); a reference should be of images as they were made`);
      context.print(out);
      context.print(`${images.count} images of ${images.height} × ${images.width}, ${networkText(network)}`);
      return 0;
    } finally {
      await network.release();
    }
  },
});

/** What is in the reference now, and larger than it. */
async function removeFeatures(folder: string, looked: Parameters<typeof placeOf>[1]): Promise<void> {
  remove(await placeOf(folder, looked));
  if (exists(folder) && listFolder(folder).length === 0) remove(folder);
}

/** @throws SettingError for another kind of file. */
function npzName(out: string): string {
  if (/\.npz$/i.test(out)) return out;
  throw new SettingError(`--out expects a .npz file, got ${out}`);
}
