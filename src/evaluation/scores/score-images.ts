/** All scores of generated images against a reference, from features that were computed before. */

import { InputError } from "../../array/input-error.ts";
import { permutation } from "../../array/random.ts";
import type { ImageSet } from "../../data/images/image-set.ts";
import { distinctRows, FEWEST_JACKKNIFE_ROWS, type Features } from "../metrics/feature-rows.ts";
import { medianKernel } from "../metrics/kernel-distance.ts";
import { type Reference, requireComparable, requireDimensions } from "../reference/reference.ts";
import type { Evaluation, FairOrder, Score, ScoreRequest, Scoring } from "./evaluation.ts";
import { accuracyScore, inceptionScores, memorisationOf, neighbourScores } from "./feature-scores.ts";
import { frechetScores } from "./frechet-scores.ts";
import { warningsOf } from "./warnings.ts";

/** Every score that the features and the reference allow. @throws InputError as {@link requireScorable}; the signal's reason. */
export async function scoreImages(request: ScoreRequest): Promise<Evaluation> {
  const { network, images, features, reference, signal, onStage } = request;
  requireScorable(request);
  requireDimensions(reference, features, network.name);
  const stage = (what: string) => {
    signal?.throwIfAborted();
    onStage?.(what);
  };
  const scoring: Scoring = { ...request, order: fairOrder(images), stage };
  const frechet = await frechetScores(scoring);
  const { checks } = frechet;
  const scores: Score[] = [
    ...frechet.scores,
    ...inceptionScores(scoring),
    ...(await neighbourScores(scoring)),
    ...accuracyScore(scoring),
  ];
  const memorisation = reference.features && (await memorisationOf(scoring, reference.features));
  const kept = reference.features?.shape[0];
  return {
    samples: { name: images.name, count: images.count, size: [images.height, images.width] },
    reference: {
      name: reference.name,
      ...(reference.count !== undefined && { count: reference.count }),
      ...(kept !== undefined && { keptFeatures: kept }),
    },
    network: { name: network.name, settings: network.settings },
    scores,
    checks,
    ...(memorisation && { memorisation }),
    warnings: warningsOf({
      network,
      samples: images,
      reference,
      checks,
      frechet: frechet.scores[0]!.value,
      distinct: distinctRows(features.pooled),
    }),
  };
}

/** Sorted by class where classes are known, else shuffled: classes often come in turn. */
function fairOrder({ count, labels, groups }: ImageSet): FairOrder {
  const classes = labels ?? groups;
  if (!classes) return permutation({ seed: 0, purpose: "jackknife", step: 0, index: 0 }, count);
  return Int32Array.from(Array.from(classes.keys()).sort((a, b) => classes[a]! - classes[b]! || a - b));
}

export interface Scorable extends Pick<ScoreRequest, "network" | "reference" | "settings"> {
  /** What is scored, or will be sampled. */
  readonly images: Pick<ImageSet, "name" | "count" | "height" | "width">;
}

/**
 * @throws InputError for a reference of another network or of images of another size, fewer than 20 images, no more
 *   images than the neighbours of precision and recall, or a reference of images that are alike.
 */
export function requireScorable({ network, reference, settings, images }: Scorable): void {
  requireComparable(reference, network, images);
  requireEnough(images);
  requireNeighbours(images.name, images.count, settings.neighbours);
  if (!reference.features) return;
  requireNeighbours(...keptOf(reference), settings.neighbours);
  if (settings.bandwidth === undefined) requireBandwidth(reference.name, reference.features);
}

/** @throws InputError naming a reference of images that are alike. */
function requireBandwidth(name: string, features: Features): void {
  try {
    medianKernel(features);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(
      `${name}: expected images that differ, but half of all distances between their features are 0 or not finite, so the ` +
        "kernel distance has no bandwidth; take other images as the reference, or give --bandwidth",
    );
  }
}

/** @throws InputError for fewer images than a standard error needs. */
export function requireEnough({ name, count }: Pick<ImageSet, "name" | "count">): void {
  if (count >= FEWEST_JACKKNIFE_ROWS) return;
  throw new InputError(
    `${name}: expected at least ${FEWEST_JACKKNIFE_ROWS} images for a standard error, found ${count}; take more of them`,
  );
}

const keptOf = ({ name, features }: Reference): [string, number] => [name, features!.shape[0]!];

function requireNeighbours(name: string, count: number, neighbours: number): void {
  if (count > neighbours) return;
  throw new InputError(
    `${name}: expected more than ${neighbours} images for ${neighbours} nearest neighbours (--neighbours), found ${count}; ` +
      "take more images or fewer neighbours",
  );
}
