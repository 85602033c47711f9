/** All scores of generated images against a reference, from features that were computed before. */
import { permutation } from "../../array/random.ts";
import type { ImageSet } from "../../data/images/image-set.ts";
import { distinctRows } from "../metrics/feature-rows.ts";
import { requireDimensions } from "../reference/reference.ts";
import { accuracyScore } from "./accuracy-score.ts";
import type { Evaluation, Score } from "./evaluation.ts";
import { frechetScores } from "./frechet-scores.ts";
import { inceptionScores } from "./inception-scores.ts";
import { memorisationOf } from "./memorisation.ts";
import { neighbourScores } from "./neighbour-scores.ts";
import { requireScorable } from "./require-scorable.ts";
import type { FairOrder, ScoreRequest, Scoring } from "./scoring.ts";
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
