/** How the images of a cell are judged: one number that is smaller for better images, with how sure it is. */
import type { NDArray } from "../../array/ndarray.ts";
import { checkedRange, type ImageSet } from "../../data/images/image-set.ts";
import type { Engine } from "../../engine/engine.ts";
import { extractFeatures, type FeatureNetwork } from "../../evaluation/features/extract-features.ts";
import { withMetricKernels } from "../../evaluation/metrics/kernels.ts";
import type { Reference } from "../../evaluation/reference/reference.ts";
import { scoreDefaults } from "../../evaluation/scores/evaluation.ts";
import { frechetName } from "../../evaluation/scores/frechet-scores.ts";
import { scoreImages } from "../../evaluation/scores/score-images.ts";
import { imageBytes } from "../../formats/image-bytes.ts";
import { requireUsable } from "../../sampling/usable-images.ts";

export interface Score {
  readonly estimate: number;
  readonly standardError: number;
  /** What else is known of the images, by name. */
  readonly more: Readonly<Record<string, number>>;
}

/** What decides how images are judged. Cells that differ in it are never compared. */
export interface Judgement {
  /** As people call the number: FD-digits, FID. */
  readonly metric: string;
  /** Network, reference, autoencoder: all that the number depends on. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** A metric, and how it is computed. */
export interface Scorer extends Judgement {
  /** `images` [N, C, S, S], about [−1, 1], or latents; `labels` [N], the classes asked for. */
  score(images: NDArray<"float32">, labels: Int32Array): Promise<Score>;
}

/** Latents [n, Z, h, w] → pictures [n, 1 or 3, H, W], about [−1, 1]; each depends on its own latents only. */
export type Decode = (latents: NDArray<"float32">) => Promise<NDArray<"float32">>;

export interface FeatureScorerRequest {
  readonly engine: Engine;
  readonly network: FeatureNetwork;
  /** Asked for when the first images are judged. */
  readonly reference: () => Promise<Reference>;
  /** Pixels along a side of the pictures. */
  readonly side: number;
  /** For models of latents. */
  readonly decode?: Decode;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
}

/** What `tinyfusion evaluate` finds of the same images, by the same code and from the same bytes. */
export function featureScorer(request: FeatureScorerRequest): Scorer {
  const { engine, network, side, decode, facts, signal } = request;
  return {
    metric: frechetName(network),
    facts,
    async score(drawn, labels) {
      const images = asPictures(drawn, labels, side, decode);
      const reference = await request.reference();
      const features = await extractFeatures({ network, images, ...(signal && { signal }) });
      const { scores } = await withMetricKernels(engine, (kernels) =>
        scoreImages({
          ...{ kernels, network, images, features, reference, settings: scoreDefaults },
          ...(signal && { signal }),
        }),
      );
      const [first, ...others] = scores;
      return {
        estimate: first!.value,
        standardError: first!.standardError!,
        more: Object.fromEntries(others.map(({ key, value }) => [key === "floor" ? "realImages" : key, value])),
      };
    },
  };
}

/** Images that are made of a model's numbers when they are looked at: pictures of latents are large. */
function asPictures(
  drawn: NDArray<"float32">,
  labels: Int32Array,
  side: number,
  decode: Decode = async (images) => images,
): ImageSet {
  return {
    ...{
      name: "drawn images",
      count: labels.length,
      height: side,
      width: side,
      isLossy: false,
      labels,
    },
    async read(first, rows) {
      checkedRange(first, rows, labels.length);
      const pictures = await decode(drawn.rows(first, first + rows));
      requireUsable({ first, images: pictures, labels: labels.subarray(first, first + rows) }, "pareto");
      return imageBytes(pictures);
    },
  };
}
