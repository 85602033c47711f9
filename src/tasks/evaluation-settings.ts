/** What scores of images depend on: the feature network and the reference. */
import { InputError } from "../array/input-error.ts";
import { zeros } from "../array/ndarray.ts";
import type { ImageSet } from "../data/images/image-set.ts";
import type { Engine } from "../engine/engine.ts";
import { digitNetworkName, openDigitNetwork } from "../evaluation/features/digit-network.ts";
import { extractFeatures, type FeatureNetwork, type ImageFeatures } from "../evaluation/features/extract-features.ts";
import { inceptionResizings, openInception } from "../evaluation/features/inception.ts";
import { digitImages, openImageSet } from "../evaluation/images/open-image-set.ts";
import type { MetricKernels } from "../evaluation/metrics/kernels.ts";
import {
  keptByDefault,
  makeReference,
  mostKept,
  type Reference,
  requireComparable,
} from "../evaluation/reference/reference.ts";
import { holdsStatistics, readReferenceFile } from "../evaluation/reference/reference-file.ts";
import { kindOfFile } from "../formats/file-kind.ts";
import { openNpz } from "../formats/npz.ts";
import { fileBytes, isFolder } from "../storage/read.ts";
import type { SettingTable, Values } from "./settings.ts";
import { imageProgress, type TaskContext } from "./task.ts";

export const featureSettings = {
  features: {
    kind: "choice",
    choices: ["digits", "inception"],
    help: "feature network [digits for 28 × 28 images]",
  },
  inceptionWeights: { kind: "weights", help: "weights of Inception-v3 (pytorch-fid's or clean-fid's file)" },
  resize: {
    kind: "choice",
    choices: inceptionResizings,
    fallback: "tf",
    help: "resizing for Inception, as ADM, clean-fid or pytorch-fid",
  },
} as const satisfies SettingTable;

export const referenceSettings = {
  reference: { kind: "weights", help: "real images: a folder or .npz file [packaged digits]" },
  size: { kind: "integer", min: 1, max: 8192, help: "side that folders of image files are cropped to" },
  keep: {
    kind: "integer",
    fallback: keptByDefault,
    min: 2,
    max: mostKept,
    help: "real images for precision, recall and kernel distance",
  },
} as const satisfies SettingTable;

interface ImageSize {
  readonly height: number;
  readonly width: number;
}

const DIGIT_SIDE = 28;

/** The feature network: the one that is set, or that images of this size suggest. @throws InputError for Inception without weights. */
export async function openNetwork(
  { features, inceptionWeights, resize }: Values<typeof featureSettings>,
  { height, width }: ImageSize,
  engine: Engine,
): Promise<FeatureNetwork> {
  const isDigit = height === DIGIT_SIDE && width === DIGIT_SIDE && inceptionWeights === undefined;
  if ((features ?? (isDigit ? "digits" : "inception")) === "digits") return openDigitNetwork(engine);
  if (inceptionWeights === undefined) {
    throw new InputError(
      `features of images of ${height} × ${width} need the weights of Inception-v3, which are not part of this package: set ` +
        "`inceptionWeights` to pt_inception-2015-12-05-6726825d.pth (of pytorch-fid) or inception-2015-12-05.pt (of clean-fid)",
    );
  }
  return openInception(engine, { weights: inceptionWeights, resize });
}

/** Features of two black images, for their shapes. @throws InputError for a size that the network does not take. */
export const blankFeatures = (network: FeatureNetwork, { height, width }: ImageSize): Promise<ImageFeatures> =>
  network.features(zeros("uint8", [2, height, width, 3]));

export interface ReferenceRequest {
  readonly kernels: MetricKernels;
  readonly network: FeatureNetwork;
  /** The real images, if they are open already. */
  readonly images?: ImageSet;
  /** Side of the squares that folders of image files are cropped to. */
  readonly crop?: number | undefined;
  /** The images to score: real images of another size are refused before their features are extracted. */
  readonly comparedWith?: Pick<ImageSet, "name" | "height" | "width">;
  /** Where features of reference images are stored. */
  readonly folder?: string;
  readonly context: Pick<TaskContext, "note" | "progress" | "signal">;
}

/**
 * Opens or computes the reference.
 * @throws InputError for no reference, or a damaged one; the signal's reason.
 */
export async function openReference(
  { reference, keep }: Pick<Values<typeof referenceSettings>, "reference" | "keep">,
  request: ReferenceRequest,
): Promise<Reference> {
  const { network, context } = request;
  requireReference(reference, network);
  if (reference === undefined) {
    const made = await makeReference({ ...featureRequest(digitImages("train"), request), keep });
    const heldOut = await extractFeatures(featureRequest(digitImages("heldOut"), request));
    return { ...made, heldOut: heldOut.pooled };
  }
  const contents = await contentsOf(reference);
  const make = async () => makeReference({ ...featureRequest(await openReal(reference, request), request), keep });
  if (!contents.hasStatistics) return make();
  const file = await readReferenceFile(reference);
  if (file.features) return file;
  if (!contents.hasImages) {
    context.note(`${reference} holds statistics only: no precision, recall, kernel distance or nearest images`);
    return file;
  }
  context.note(`${reference}: statistics are the file's own; its images are used for precision and recall`);
  // ADM's files hold statistics of 1,281,167 images, and 10,000 of these images.
  const { network: madeBy, size, features, pictures } = await make();
  return {
    ...file,
    ...(madeBy && { network: madeBy, isNetworkAssumed: true }),
    ...(size && { size }),
    ...(features && { features }),
    ...(pictures && { pictures }),
  };
}

async function openReal(path: string, request: ReferenceRequest): Promise<ImageSet> {
  const { crop, images = await openImageSet(path, crop), network, comparedWith } = request;
  const { name, height, width } = images;
  if (comparedWith) requireComparable({ name, size: [height, width] }, network, comparedWith);
  return images;
}

/** @throws InputError for no reference where none is packaged. */
export function requireReference(reference: string | undefined, network: FeatureNetwork): void {
  if (reference !== undefined || network.name === digitNetworkName) return;
  throw new InputError(
    "expected `reference`: a folder of real images, or a .npz such as ADM's VIRTUAL_imagenet256_labeled.npz; found none",
  );
}

/** A request for the features of a set, which reports progress. */
export function featureRequest(images: ImageSet, { kernels, network, folder, context }: ReferenceRequest) {
  const report = imageProgress(context);
  return {
    kernels,
    network,
    images,
    signal: context.signal,
    ...(folder !== undefined && { folder }),
    onProgress: (done: number, fresh: number) => report(done, fresh, images.count),
  };
}

async function contentsOf(path: string): Promise<{ hasStatistics: boolean; hasImages: boolean }> {
  if (isFolder(path)) return { hasStatistics: false, hasImages: true };
  const bytes = await fileBytes(path);
  if ((await kindOfFile(bytes)) !== "npz") return { hasStatistics: false, hasImages: true };
  const file = await openNpz(bytes);
  return { hasStatistics: holdsStatistics(file), hasImages: file.tensors.has("arr_0") };
}
