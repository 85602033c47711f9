/** How the images of a cell are scored: by the same network, reference and code as in `evaluate`. */
import { join } from "node:path";
import type { NDArray } from "../../array/ndarray.ts";
import { checkedRange, type ImageSet } from "../../data/images/image-set.ts";
import type { Engine } from "../../engine/engine.ts";
import { extractFeatures, type FeatureNetwork } from "../../evaluation/features/extract-features.ts";
import { digitImages } from "../../evaluation/images/open-image-set.ts";
import { withMetricKernels } from "../../evaluation/metrics/kernels.ts";
import {
  imagesSha256,
  type Reference,
  referenceSha256,
  requireDimensions,
} from "../../evaluation/reference/reference.ts";
import { scoreDefaults } from "../../evaluation/scores/evaluation.ts";
import { frechetName } from "../../evaluation/scores/frechet-scores.ts";
import { requireScorable, scoreImages } from "../../evaluation/scores/score-images.ts";
import { imageBytes } from "../../formats/image-bytes.ts";
import { requireUsable } from "../../sampling/usable-images.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import { type Decoder, imageSide, openDecoder } from "../decoder-settings.ts";
import { blankFeatures, openNetwork, openReference, requireReference } from "../evaluation-settings.ts";
import type { TaskContext } from "../task.ts";
import type { Judgement, ParetoValues } from "./grid.ts";

export interface Score {
  readonly estimate: number;
  readonly standardError: number;
  /** Other scores of the images, by name. */
  readonly more: Readonly<Record<string, number>>;
}

/** A metric that is smaller for better images, and how it is computed. */
export interface Scorer extends Judgement {
  /** `images` [N, C, S, S], about [−1, 1], or latents; `labels` [N], the requested classes. */
  score(images: NDArray<"float32">, labels: Int32Array): Promise<Score>;
}

export interface OpenedScorer extends Scorer {
  /** Extracts the features of the reference. @throws InputError for one that does not fit. */
  openReference(): Promise<Reference>;
  release(): Promise<void>;
}

type ScorerValues = ParetoValues & { readonly out: string };

/**
 * Opens the network, decoder and reference; features of the reference are extracted when they are needed.
 * @throws InputError for a network, reference or autoencoder that is missing, damaged or of another kind.
 */
export async function openScorer(
  values: ScorerValues,
  context: TaskContext,
  file: ModelFile,
  engine: Engine,
): Promise<OpenedScorer> {
  const decoder = await openDecoder(values, file.model.config, engine, context.note);
  const side = imageSide("pareto", file, decoder);
  const network = await openNetwork(values, { height: side, width: side }, engine);
  const release = async () => {
    await decoder?.release();
    await network.release();
  };
  try {
    requireReference(values.reference, network);
    const reference = once(() => referenceOf(values, context, { network, side, engine }));
    return {
      metric: frechetName(network),
      facts: await factsOf(values, network, decoder),
      score: (images, labels) =>
        scored(imageSet(images, labels, side, decoder), { network, reference, engine, signal: context.signal }),
      openReference: reference,
      release,
    };
  } catch (error) {
    await release();
    throw error;
  }
}

interface Scoring {
  readonly network: FeatureNetwork;
  readonly reference: () => Promise<Reference>;
  readonly engine: Engine;
  readonly signal: AbortSignal;
}

async function scored(images: ImageSet, { network, reference: open, engine, signal }: Scoring): Promise<Score> {
  const reference = await open();
  const features = await extractFeatures({ network, images, signal });
  const settings = scoreDefaults;
  const { scores } = await withMetricKernels(engine, (kernels) =>
    scoreImages({ kernels, network, images, features, reference, settings, signal }),
  );
  const [first, ...others] = scores;
  return {
    estimate: first!.value,
    standardError: first!.standardError!,
    more: Object.fromEntries(others.map(({ key, value }) => [key === "floor" ? "realImages" : key, value])),
  };
}

/** All that a score depends on besides the images. */
async function factsOf(
  { reference, keep, tiled }: ScorerValues,
  { name, settings }: FeatureNetwork,
  decoder: Decoder | undefined,
) {
  const { neighbours, splitSize } = scoreDefaults;
  const sha256 = reference === undefined ? await imagesSha256(digitImages("train")) : await referenceSha256(reference);
  return {
    network: { name, ...settings },
    reference: { sha256, keep },
    ...(decoder && { decoder: { sha256: await decoder.sha256(), tiled } }),
    neighbours,
    splitSize,
  };
}

async function referenceOf(
  values: ScorerValues,
  context: TaskContext,
  { network, side, engine }: Pick<Scoring, "network" | "engine"> & { readonly side: number },
): Promise<Reference> {
  const images = { name: "the cells", count: values.count, height: side, width: side };
  context.note(`features of the reference by ${network.name}`);
  const folder = join(values.out, "features");
  const reference = await withMetricKernels(engine, (kernels) =>
    openReference(values, { kernels, network, comparedWith: images, folder, context }),
  );
  requireScorable({ network, reference, settings: scoreDefaults, images });
  requireDimensions(reference, await blankFeatures(network, images), network.name);
  return reference;
}

/** Images whose bytes are made when they are read: decoded latents are large. */
function imageSet(
  sampled: NDArray<"float32">,
  labels: Int32Array,
  side: number,
  decoder: Decoder | undefined,
): ImageSet {
  return {
    name: "sampled images",
    count: labels.length,
    height: side,
    width: side,
    isLossy: false,
    labels,
    async read(first, rows) {
      checkedRange(first, rows, labels.length);
      const own = sampled.rows(first, first + rows);
      const images = decoder ? await decoder.decode(own) : own;
      requireUsable({ first, images, labels: labels.subarray(first, first + rows) }, "pareto");
      return imageBytes(images);
    },
  };
}

/** The same result for each call; after an error the next call tries again. */
function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= work().catch((error: unknown) => {
      result = undefined;
      throw error;
    });
    return result;
  };
}
