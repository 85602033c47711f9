/** A reference from images: their statistics in one pass, and features and pictures of some of them. */
import { InputError } from "../../array/input-error.ts";
import { NDArray, stackedRows } from "../../array/ndarray.ts";
import { resample } from "../../data/images/resample.ts";
import type { ImageFeatures } from "../features/feature-network.ts";
import { type FeatureRequest, featureParts } from "../features/stored-features.ts";
import { rowsOf, someRows } from "../metrics/feature-rows.ts";
import { GaussianAccumulator } from "../metrics/gaussian-stats.ts";
import type { MetricKernels } from "../metrics/kernels.ts";
import { pictureSide, type Reference } from "./reference.ts";

export interface MakeReferenceRequest extends FeatureRequest {
  readonly kernels: MetricKernels;
  /** Images of which features and pictures are kept, drawn at random; all if there are fewer. */
  readonly keep?: number;
}

/** As many as the reference batch of the ADM evaluator has. */
export const keptByDefault = 10_000;

/** Their features and pictures are in memory: about 1 GB of Inception's. */
export const mostKept = 50_000;

/** Looks at all images. @throws InputError for fewer than two images, or a damaged one; the signal's reason. */
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
    pictures: await smallPictures(request, kept),
  };
}

function accumulators(kernels: MetricKernels, { pooled, spatial }: ImageFeatures) {
  const of = (x: NDArray) => new GaussianAccumulator(kernels, x.shape[1]!);
  return { pooled: of(pooled), ...(spatial && { spatial: of(spatial) }) };
}

/** [M, h, w, 3], sides at most {@link pictureSide}; only one image is in memory at its own size. */
async function smallPictures(
  { images, signal }: Pick<FeatureRequest, "images" | "signal">,
  rows: Int32Array,
): Promise<NDArray<"uint8">> {
  const { height, width } = images;
  const scale = Math.min(1, pictureSide / Math.max(height, width));
  const [h, w] = [height, width].map((side) => Math.max(1, Math.round(side * scale))) as [number, number];
  const pictures = new NDArray("uint8", [rows.length, h, w, 3], new Uint8Array(rows.length * h * w * 3));
  for (const [i, row] of rows.entries()) {
    signal?.throwIfAborted();
    const whole = (await images.read(row, 1)).reshape([height, width, 3]);
    pictures.data.set(resample(whole, w, h, "box").data, i * h * w * 3);
  }
  return pictures;
}
