/** Fréchet distances on pooled and spatial features, with errors, and what they say of themselves. */
import { type Features, JACKKNIFE_GROUPS, rowsOf, someRows } from "../metrics/feature-rows.ts";
import { type FrechetTo, frechetDistance, frechetInfinity, frechetJackknife, frechetTo } from "../metrics/frechet.ts";
import { type Gaussian, GaussianAccumulator, type GroupedStats, gaussianStats } from "../metrics/gaussian-stats.ts";
import { blocksOf } from "../metrics/kernels.ts";
import { type Checks, isOfDigits, type Score, type Scoring } from "./evaluation.ts";

/** Rows that are put in order at once: a copy of all could be as large as the features. */
const ROWS = 1000;

export async function frechetScores(scoring: Scoring): Promise<{ scores: Score[]; checks: Checks }> {
  const { kernels, features, reference, settings } = scoring;
  const distanceTo = await frechetTo(kernels, reference.pooled);
  const pooled = await distanceOf(scoring, "Fréchet distance", features.pooled, distanceTo);
  const scores = [score(scoring, "frechet", frechetName(scoring.network), pooled)];
  if (features.spatial && reference.spatial) {
    const toSpatial = await frechetTo(kernels, reference.spatial);
    const spatial = await distanceOf(scoring, "spatial Fréchet distance", features.spatial, toSpatial);
    scores.push(score(scoring, "spatialFrechet", "sFID", spatial));
  }
  if (settings.infinity) scores.push(await infinity(scoring, distanceTo));
  if (reference.heldOut) scores.push(await baseline(scoring, distanceTo, reference.heldOut));
  scoring.stage("checks of the Fréchet distance");
  return { scores, checks: await checksOf(scoring, distanceTo, pooled) };
}

/** The name of the Fréchet distance of these features. */
export const frechetName = (network: Scoring["network"]): string => (isOfDigits({ network }) ? "FD-digits" : "FID");

/** What a distance is, and how sure. */
interface Found {
  readonly value: number;
  readonly standardError?: number;
  readonly clippedEigenvalues: number;
  /** Of the images. */
  readonly samples: Gaussian;
}

/** Sums of ten groups take ten times a covariance, and go with the end of this function. */
async function distanceOf(scoring: Scoring, name: string, features: Features, distanceTo: FrechetTo): Promise<Found> {
  scoring.stage(`${name}: covariance`);
  const groups = await inGroups(scoring, features);
  scoring.stage(`${name}${scoring.settings.errors ? " and its error" : ""}`);
  return withError(scoring, distanceTo, groups);
}

async function inGroups({ kernels, order }: Scoring, features: Features): Promise<GroupedStats> {
  const sums = new GaussianAccumulator(kernels, features.shape[1]!, JACKKNIFE_GROUPS);
  for (const { start, end } of blocksOf(order.length, ROWS)) {
    await sums.add(rowsOf(features, order.subarray(start, end)));
  }
  return sums.finish();
}

async function withError({ settings }: Scoring, distanceTo: FrechetTo, groups: GroupedStats): Promise<Found> {
  if (!settings.errors) {
    const { distance, clippedEigenvalues } = await distanceTo(groups.all);
    return { value: distance, clippedEigenvalues, samples: groups.all };
  }
  const { estimate, standardError, clippedEigenvalues } = await frechetJackknife(distanceTo, groups);
  return { value: estimate, standardError, clippedEigenvalues, samples: groups.all };
}

function score(
  { images, reference, features }: Scoring,
  key: "frechet" | "spatialFrechet",
  name: string,
  { value, standardError }: Found,
): Score {
  const width = (key === "frechet" ? features.pooled : features.spatial!).shape[1];
  const of = reference.count === undefined ? "" : ` of ${reference.count} images`;
  const error = standardError === undefined ? "" : "; ± delete-a-tenth jackknife";
  return {
    key,
    name,
    value,
    better: "lower",
    ...(standardError !== undefined && { standardError }),
    detail: `${images.count} images, ${width} features, to a Gaussian${of}${error}`,
  };
}

async function infinity(scoring: Scoring, distanceTo: FrechetTo): Promise<Score> {
  scoring.stage("Fréchet distance at 15 sample counts");
  const { distance, points } = await frechetInfinity(scoring.kernels, distanceTo, scoring.features.pooled);
  const [least, most] = [points[0]!.count, points.at(-1)!.count];
  return {
    key: "frechetInfinity",
    name: isOfDigits(scoring) ? "FD∞-digits" : "FID∞",
    value: distance,
    better: "lower",
    detail: `extrapolated to endless samples from ${points.length} subsets of ${least} to ${most}`,
  };
}

/** The distance of as many real images: the real-versus-real baseline. Subsets of all held-out images are all the same. */
async function baseline(scoring: Scoring, distanceTo: FrechetTo, heldOut: Features): Promise<Score> {
  const { images, settings, kernels, network } = scoring;
  const { purpose, subsets } = settings.baseline;
  const size = Math.min(images.count, heldOut.shape[0]!);
  const count = size === heldOut.shape[0] ? 1 : subsets;
  let total = 0;
  for (let step = 0; step < count; step++) {
    const rows = someRows(heldOut.shape[0]!, size, purpose, step);
    total += (await distanceTo(await gaussianStats(kernels, rowsOf(heldOut, rows)))).distance;
  }
  return {
    key: "floor",
    name: `${frechetName(network)} of real images`,
    value: total / count,
    better: "lower",
    detail:
      `${count > 1 ? `mean of ${count} random subsets of ` : ""}${size} images that neither a model nor the reference has ` +
      "seen: no model is expected to score lower",
  };
}

async function checksOf(
  { kernels, reference }: Scoring,
  distanceTo: FrechetTo,
  { value, clippedEigenvalues, samples }: Found,
): Promise<Checks> {
  const swapped = await frechetDistance(kernels, samples, reference.pooled);
  return {
    referenceToItself: (await distanceTo(reference.pooled)).distance,
    swapDifference: Math.abs(swapped.distance - value),
    clippedEigenvalues,
  };
}
