/** Statistics of real images, made once, that generated images are compared with. */
import type { ImageSet } from "../data/images/image-set.ts";
import { type FeatureNetwork, featureFolder } from "../evaluation/features/extract-features.ts";
import { holdsImageFiles, openImageSet } from "../evaluation/images/open-image-set.ts";
import { withMetricKernels } from "../evaluation/metrics/kernels.ts";
import type { Reference } from "../evaluation/reference/reference.ts";
import { writeReferenceFile } from "../evaluation/reference/reference-file.ts";
import { remove, requireWritableFile } from "../storage/atomic-write.ts";
import { exists, listFolder } from "../storage/read.ts";
import { featureSettings, openNetwork, openReference, referenceSettings } from "./evaluation-settings.ts";
import { required, SettingError, type SettingTable } from "./settings.ts";
import { engineSettings } from "./shared-settings.ts";
import { startTask, type TaskSettings } from "./task.ts";

export const makeReferenceFileSettings = {
  images: { kind: "weights", help: "real images: a folder or .npz file" },
  out: { kind: "text", help: "the reference, a .npz file" },
  ...featureSettings,
  size: referenceSettings.size,
  keep: { ...referenceSettings.keep, help: "images of which features and small copies are stored" },
  stored: { kind: "text", help: "folder for features, kept for later runs [OUT.features, removed]" },
  ...engineSettings,
} as const satisfies SettingTable;

export interface ReferenceResult {
  /** The `.npz` file. */
  readonly file: string;
  readonly reference: Reference;
  readonly images: ImageSet;
  readonly network: Pick<FeatureNetwork, "name" | "settings">;
}

/**
 * Makes a reference: statistics, features and small copies of real images, as a file.
 * @throws InputError for images that cannot be read; the signal's reason: finished features stay, and are used by the next call.
 */
export async function makeReferenceFile(
  settings: TaskSettings<typeof makeReferenceFileSettings>,
): Promise<ReferenceResult> {
  const { values, context } = await startTask(makeReferenceFileSettings, settings);
  const path = required("images", values.images);
  const out = required("out", values.out);
  if (!/\.npz$/i.test(out)) throw new SettingError(`\`out\` expects a .npz file, got ${out}`);
  if (values.size !== undefined && !holdsImageFiles(path))
    throw new SettingError(`\`size\` crops folders of image files; ${path} is none`);
  requireWritableFile(out);
  const images = await openImageSet(path, values.size);
  for (const line of images.notes ?? []) context.note(line);
  const engine = context.engine();
  const network = await openNetwork(values, images, engine);
  const folder = values.stored ?? `${out}.features`;
  try {
    const request = { network, images, folder, context };
    const reference = await withMetricKernels(engine, (kernels) =>
      openReference({ reference: path, keep: values.keep }, { kernels, ...request }),
    );
    await writeReferenceFile(out, reference);
    if (values.stored === undefined) await removeFeatures(folder, { network, images });
    if (images.isLossy) context.note(`${path}: lossy images (JPEG); a reference should be of lossless images`);
    return { file: out, reference, images, network };
  } finally {
    await network.release();
  }
}

/** Removes features that the reference holds now, and that are larger than it. */
async function removeFeatures(folder: string, of: Parameters<typeof featureFolder>[1]): Promise<void> {
  remove(await featureFolder(folder, of));
  if (exists(folder) && listFolder(folder).length === 0) remove(folder);
}
