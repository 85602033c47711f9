/** What generated images are compared with: statistics of real images' features, some of the features, and small images. */

import { createHash } from "node:crypto";
import { InputError } from "../../array/input-error.ts";
import { NDArray, stackedRows } from "../../array/ndarray.ts";
import { contentsOf, type ImageSet } from "../../data/images/image-set.ts";
import { resample } from "../../data/images/resample.ts";
import { fileSha256 } from "../../storage/checksums.ts";
import { isFolder } from "../../storage/read.ts";
import {
  type FeatureNetwork,
  type FeatureRequest,
  featureParts,
  type ImageFeatures,
} from "../features/extract-features.ts";
import { inceptionName } from "../features/inception.ts";
import { openImageSet } from "../images/open-image-set.ts";
import { rowsOf, someRows } from "../metrics/feature-rows.ts";
import { type Gaussian, GaussianAccumulator } from "../metrics/gaussian-stats.ts";
import type { MetricKernels } from "../metrics/kernels.ts";

/** D pooled features, S spatial ones; M images of which features are kept. */
export interface Reference {
  /** Path, or what else a person would call it. */
  readonly name: string;
  /** The network and its settings, if the file says so. */
  readonly network?: Pick<FeatureNetwork, "name" | "settings">;
  /** Whether the statistics' file says nothing of a network, and they are only taken for that network's. */
  readonly isNetworkAssumed?: boolean;
  /** Images behind the statistics, if the file says so. */
  readonly count?: number;
  /** Size of those images, if the file says so. */
  readonly size?: readonly [height: number, width: number];
  /** Whether some of them are from a lossy format, if that is known. */
  readonly isLossy?: boolean;
  readonly pooled: Gaussian;
  readonly spatial?: Gaussian;
  /** [M, D]: for precision, recall and the kernel distance. */
  readonly features?: NDArray<"float32">;
  /** [M, h, w, 3], the images of `features`, perhaps smaller. */
  readonly pictures?: NDArray<"uint8">;
  /** [K, D], features of real images that are not in the reference: what they score, no model is expected to beat. */
  readonly heldOut?: NDArray<"float32">;
}

/** Largest side of a small image. */
const smallSide = 64;

/**
 * @throws InputError if the reference is of other features than the network's, or of images of another size than those
 *   that are compared with it.
 */
export function requireComparable(
  reference: Pick<Reference, "name" | "network" | "size">,
  network: Named,
  { height, width, name }: Pick<ImageSet, "height" | "width" | "name">,
): void {
  const { network: own, size } = reference;
  if (own && JSON.stringify(decisive(own)) !== JSON.stringify(decisive(network))) {
    throw new InputError(
      `${reference.name}: expected features of ${networkText(network)}, found those of ${networkText(own)}; ` +
        "make the reference again with this network, or choose that one",
    );
  }
  if (size && (size[0] !== height || size[1] !== width)) {
    throw new InputError(
      `${reference.name}: expected images of ${height} × ${width} as in ${name}, found ${size[0]} × ${size[1]}; ` +
        "features of images that were enlarged or reduced differ: take a reference of the same size, or crop a folder of images with `size`",
    );
  }
}

type Named = Pick<FeatureNetwork, "name" | "settings">;

/** What two networks must have in common. Inception's weights are published in several files that agree to rounding. */
const decisive = ({ name, settings }: Named) => (name === inceptionName ? [name, settings.resize] : [name, settings]);

/** @throws InputError if a reference has not the dimensions of these features. */
export function requireDimensions(
  { name, pooled, spatial }: Reference,
  features: Pick<ImageFeatures, "pooled" | "spatial">,
  network: string,
): void {
  const sides = [
    ["features", pooled, features.pooled] as const,
    ["spatial features", spatial, features.spatial] as const,
  ];
  for (const [what, stored, own] of sides) {
    const [expected, found] = [own?.shape[1], stored?.mean.length];
    if (expected === undefined || found === undefined || expected === found) continue;
    throw new InputError(
      `${name}: expected ${expected} ${what} as ${network} gives, found ${found}; it is of another network`,
    );
  }
}

/** A network with its settings in a line. */
export function networkText({ name, settings }: Named): string {
  const parts = Object.entries(settings).map(([key, value]) => `${key} ${shortened(value)}`);
  return parts.length > 0 ? `${name} (${parts.join(", ")})` : name;
}

const shortened = (value: string | number | boolean): string =>
  typeof value === "string" && /^[0-9a-f]{64}$/.test(value) ? `${value.slice(0, 12)}…` : String(value);

export interface MakeReferenceRequest extends FeatureRequest {
  readonly kernels: MetricKernels;
  /** Images of which features and small images are kept, chosen at random; all if there are fewer. */
  readonly keep?: number;
}

/** As many as the reference batch of the ADM evaluator has. */
export const keptByDefault = 10_000;

/** Their features and small images are in memory: about 1 GB of Inception's. */
export const mostKept = 50_000;

/** Extracts features of all images. @throws InputError for fewer than two images, or a damaged one; the signal's reason. */
export async function makeReference(request: MakeReferenceRequest): Promise<Reference> {
  const { kernels, images, network, keep = keptByDefault } = request;
  if (images.count < 2) {
    throw new InputError(
      `${images.name}: expected at least 2 images for a reference, found ${images.count}; take more of them`,
    );
  }
  const kept = someRows(images.count, keep, "reference");
  let sums: { pooled: GaussianAccumulator; spatial?: GaussianAccumulator } | undefined;
  const features: NDArray<"float32">[] = [];
  let [first, taken] = [0, 0];
  for await (const piece of featureParts(request)) {
    sums ??= accumulators(kernels, piece);
    await sums.pooled.add(piece.pooled);
    if (piece.spatial) await sums.spatial?.add(piece.spatial);
    const [from, end] = [taken, first + piece.pooled.shape[0]!];
    while (taken < kept.length && kept[taken]! < end) taken++;
    const before = first;
    features.push(
      rowsOf(
        piece.pooled,
        kept.subarray(from, taken).map((row) => row - before),
      ),
    );
    first = end;
  }
  const { name, settings } = network;
  return {
    name: images.name,
    network: { name, settings },
    count: images.count,
    size: [images.height, images.width],
    isLossy: images.isLossy,
    pooled: (await sums!.pooled.finish()).all,
    ...(sums!.spatial && { spatial: (await sums!.spatial.finish()).all }),
    features: stackedRows(features),
    pictures: await smallImages(request, kept),
  };
}

function accumulators(kernels: MetricKernels, { pooled, spatial }: ImageFeatures) {
  const of = (x: NDArray) => new GaussianAccumulator(kernels, x.shape[1]!);
  return { pooled: of(pooled), ...(spatial && { spatial: of(spatial) }) };
}

/** [M, h, w, 3], sides at most {@link smallSide}; only one image is in memory at its own size. */
async function smallImages(
  { images, signal }: Pick<FeatureRequest, "images" | "signal">,
  rows: Int32Array,
): Promise<NDArray<"uint8">> {
  const { height, width } = images;
  const scale = Math.min(1, smallSide / Math.max(height, width));
  const [h, w] = [height, width].map((side) => Math.max(1, Math.round(side * scale))) as [number, number];
  const pictures = new NDArray("uint8", [rows.length, h, w, 3], new Uint8Array(rows.length * h * w * 3));
  for (const [i, row] of rows.entries()) {
    signal?.throwIfAborted();
    const whole = (await images.read(row, 1)).reshape([height, width, 3]);
    pictures.data.set(resample(whole, w, h, "box").data, i * h * w * 3);
  }
  return pictures;
}

/** SHA-256 of a reference file, or of a folder of images. @throws InputError for what cannot be read. */
export async function referenceSha256(path: string): Promise<string> {
  return isFolder(path) ? imagesSha256(await openImageSet(path)) : fileSha256(path);
}

/** SHA-256 of size and content of all images, in order. @throws InputError naming what cannot be read. */
export async function imagesSha256(images: ImageSet): Promise<string> {
  const { count, height, width } = images;
  const hash = createHash("sha256").update(JSON.stringify([count, height, width]));
  for await (const content of contentsOf(images, 0, count)) hash.update(content);
  return hash.digest("hex");
}
