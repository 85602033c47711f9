/** What images are compared with, as a command is told. */
import { InputError } from "../../array/input-error.ts";
import type { ImageSet } from "../../data/images/image-set.ts";
import { digitNetworkName } from "../../evaluation/features/digit-network.ts";
import type { FeatureNetwork } from "../../evaluation/features/feature-network.ts";
import { extractFeatures } from "../../evaluation/features/stored-features.ts";
import { digitImages } from "../../evaluation/images/digit-images.ts";
import { openImageSet } from "../../evaluation/images/open-image-set.ts";
import type { MetricKernels } from "../../evaluation/metrics/kernels.ts";
import { keptByDefault, makeReference, mostKept } from "../../evaluation/reference/make-reference.ts";
import { type Reference, requireComparable } from "../../evaluation/reference/reference.ts";
import { holdsStatistics, readReferenceFile } from "../../evaluation/reference/reference-file.ts";
import { kindOfFile } from "../../formats/kind-of-file.ts";
import { openNpz } from "../../formats/npz.ts";
import { fileBytes, isFolder } from "../../storage/read.ts";
import type { SettingTable, Values } from "../../tasks/settings.ts";
import type { CommandContext } from "../command.ts";
import { lookingProgress } from "./looking.ts";

export const referenceOptions = {
  reference: {
    kind: "weights",
    help: "real images: a .npz of ADM or of tinyfusion reference (statistics, images or both), a folder of images [the packaged digits for digits]",
  },
  size: {
    kind: "integer",
    min: 1,
    max: 8192,
    help: "side of the square that folders of image files are cropped to, as for training [all are of one size]",
  },
  keep: {
    kind: "integer",
    fallback: keptByDefault,
    min: 2,
    max: mostKept,
    help: "real images that precision, recall and the kernel distance see, where the reference is made here",
  },
} as const satisfies SettingTable;

export interface ReferenceRequest {
  readonly kernels: MetricKernels;
  readonly network: FeatureNetwork;
  /** The real images, if they are open already. */
  readonly images?: ImageSet;
  /** What it is for, if that is known: real images of another size are not looked at in vain. */
  /** Side of the squares that folders of image files are cropped to. */
  readonly crop?: number | undefined;
  readonly comparedWith?: Pick<ImageSet, "name" | "height" | "width">;
  /** Where features of reference images are kept. */
  readonly folder?: string;
  readonly note: (line: string) => void;
  /** Shows how far a look is. */
  readonly context: Pick<CommandContext, "progress">;
  readonly signal: AbortSignal;
}

/**
 * The reference that the options name.
 * @throws InputError for no reference, or a damaged one; the signal's reason.
 */
export async function openReference(
  { reference, keep }: Pick<Values<typeof referenceOptions>, "reference" | "keep">,
  request: ReferenceRequest,
): Promise<Reference> {
  if (reference === undefined) {
    requireReference({ reference }, request.network);
    return digitsReference(keep, request);
  }
  const contents = await contentsOf(reference);
  if (!contents.hasStatistics) return makeReference({ ...look(await openReal(reference, request), request), keep });
  const file = await readReferenceFile(reference);
  if (file.features) return file;
  if (!contents.hasImages) {
    request.note(`${reference} holds statistics only: no precision, recall, kernel distance or nearest images`);
    return file;
  }
  request.note(`${reference}: statistics are the file's own; its images are looked at for precision and recall`);
  return withImages(file, await openReal(reference, request), keep, request);
}

async function openReal(path: string, request: ReferenceRequest): Promise<ImageSet> {
  const { crop, images = await openImageSet(path, crop), network, comparedWith } = request;
  const { name, height, width } = images;
  if (comparedWith) requireComparable({ name, size: [height, width] }, network, comparedWith);
  return images;
}

/** @throws InputError for no reference where none is packaged. */
export function requireReference({ reference }: { readonly reference: string | undefined }, network: FeatureNetwork) {
  if (reference !== undefined || network.name === digitNetworkName) return;
  throw new InputError(
    "expected --reference: a folder of real images, or a .npz such as ADM's VIRTUAL_imagenet256_labeled.npz; found none",
  );
}

/** The training digits; what held-out digits score is known too. */
async function digitsReference(keep: number, request: ReferenceRequest): Promise<Reference> {
  const made = await makeReference({ ...look(digitImages("train"), request), keep });
  const heldOut = await extractFeatures(look(digitImages("heldOut"), request));
  return { ...made, heldOut: heldOut.pooled };
}

/** Statistics of all, features and pictures of the images in the file: ADM's files hold 10,000 of 1,281,167. */
async function withImages(
  file: Reference,
  images: ImageSet,
  keep: number,
  request: ReferenceRequest,
): Promise<Reference> {
  const made = await makeReference({ ...look(images, request), keep });
  return {
    ...file,
    ...(made.network && { network: made.network, isNetworkAssumed: true }),
    size: [images.height, images.width],
    ...(made.features && { features: made.features }),
    ...(made.pictures && { pictures: made.pictures }),
  };
}

/** How a set is looked at. */
export const look = (images: ImageSet, { kernels, network, folder, context, signal }: ReferenceRequest) => {
  const tell = lookingProgress(context);
  return {
    ...{ kernels, network, images, signal },
    ...(folder !== undefined && { folder }),
    onProgress: (done: number, fresh: number) => tell(done, fresh, images.count),
  };
};

async function contentsOf(path: string): Promise<{ hasStatistics: boolean; hasImages: boolean }> {
  if (isFolder(path)) return { hasStatistics: false, hasImages: true };
  const bytes = await fileBytes(path);
  if ((await kindOfFile(bytes)) !== "npz") return { hasStatistics: false, hasImages: true };
  const file = await openNpz(bytes);
  return { hasStatistics: holdsStatistics(file), hasImages: file.tensors.has("arr_0") };
}
