/** Are generated images copies of the reference's? Their distances to it beside those within it. */
import type { Features } from "../metrics/feature-rows.ts";
import { nearestRows } from "../metrics/nearest.ts";
import { squaredRadii } from "../metrics/precision-recall.ts";
import type { Memorisation } from "./evaluation.ts";
import type { Scoring } from "./scoring.ts";

const PAIRS = 12;
const PERCENTILE = 0.01;

export async function memorisationOf(scoring: Scoring, reference: Features): Promise<Memorisation> {
  const { kernels, features } = scoring;
  scoring.stage("nearest reference images");
  const { index, squaredDistance } = await nearestRows(kernels, features.pooled, reference);
  const distances = squaredDistance.map(Math.sqrt);
  const within = (await squaredRadii(kernels, reference, 1)).map(Math.sqrt).sort();
  const threshold = quantile(within, PERCENTILE);
  const nearest = Array.from(distances.keys())
    .sort((a, b) => distances[a]! - distances[b]! || a - b)
    .slice(0, PAIRS);
  return {
    medianToReference: quantile(distances.slice().sort(), 0.5),
    medianWithinReference: quantile(within, 0.5),
    suspiciousShare: distances.filter((distance) => distance <= threshold).length / distances.length,
    closest: nearest.map((sample) => ({ sample, reference: index[sample]!, distance: distances[sample]! })),
  };
}

/** Of values that ascend. */
const quantile = (sorted: Float64Array, share: number): number => sorted[Math.floor(share * (sorted.length - 1))]!;
