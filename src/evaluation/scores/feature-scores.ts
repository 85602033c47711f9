/** Scores of features and probabilities: precision and recall, kernel distance, Inception Score, label accuracy, and near copies of the reference. */

import { predictedClasses } from "../features/digit-network.ts";
import { nearestRows } from "../metrics/distances.ts";
import { type Features, rowsOf, someRows } from "../metrics/feature-rows.ts";
import { inceptionScore, inceptionScoreJackknife } from "../metrics/inception-score.ts";
import { type Kernel, kernelDistanceJackknife, medianKernel } from "../metrics/kernel-distance.ts";
import { precisionRecall, squaredRadii, subsampledPrecisionRecall } from "../metrics/precision-recall.ts";
import { isOfDigits, type Memorisation, type Score, type Scoring } from "./evaluation.ts";

/** None if the reference has no features of single images. */
export async function neighbourScores(scoring: Scoring): Promise<Score[]> {
  const { features } = scoring.reference;
  return features ? [...(await precisionAndRecall(scoring, features)), await kernelScore(scoring, features)] : [];
}

async function precisionAndRecall(scoring: Scoring, reference: Features): Promise<Score[]> {
  const { kernels, features, settings } = scoring;
  const { neighbours, errors } = settings;
  scoring.stage("precision and recall");
  const found = await precisionRecall(kernels, reference, features.pooled, { neighbours });
  const [n, m] = [features.pooled.shape[0]!, reference.shape[0]!];
  const canSubsample = Math.min(n, m) / 10 > neighbours + 1;
  if (errors && canSubsample) scoring.stage("precision and recall of ten subsamples");
  const parts =
    errors && canSubsample
      ? await subsampledPrecisionRecall(kernels, reference, features.pooled, { neighbours })
      : undefined;
  return (["precision", "recall"] as const).map((key): Score => {
    const part = parts?.[key];
    const subsamples = part
      ? `; ± of ten disjoint subsamples (${parts.rows.generated} against ${parts.rows.reference}, mean ${(100 * part.mean).toFixed(1)}%)`
      : "";
    return {
      key,
      name: key,
      value: found[key],
      better: "higher",
      ...(part && { standardError: part.standardError }),
      detail: `k = ${neighbours}, ${n} images against ${m} of the reference${subsamples}`,
    };
  });
}

/** Rows of each side: pairs of 50,000 would take hours. */
const MOST_ROWS = 10_000;
/** As CMMD is written. */
const FACTOR = 1000;

async function kernelScore(scoring: Scoring, reference: Features): Promise<Score> {
  const { kernels, features, settings, order } = scoring;
  scoring.stage("kernel distance");
  const kernel: Kernel =
    settings.bandwidth === undefined ? medianKernel(reference) : { kind: "gaussian", bandwidth: settings.bandwidth };
  const real = rowsOf(reference, someRows(reference.shape[0]!, MOST_ROWS, "kernel distance"));
  const chosen = someRows(order.length, MOST_ROWS, "kernel distance").map((place) => order[place]!);
  const sampled = rowsOf(features.pooled, chosen);
  const { estimate, standardError } = await kernelDistanceJackknife(kernels, real, sampled, kernel);
  return {
    key: "kernelDistance",
    name: "MMD × 1000",
    better: "lower",
    value: FACTOR * estimate,
    ...(settings.errors && { standardError: FACTOR * standardError }),
    detail:
      `unbiased, Gaussian kernel of bandwidth ${(kernel as { bandwidth: number }).bandwidth.toPrecision(4)}` +
      `${settings.bandwidth === undefined ? " (median distance of the reference)" : ""}, ${chosen.length} images against ` +
      `${real.shape[0]}${settings.errors ? "; ± delete-a-tenth jackknife" : ""}`,
  };
}

/** One score if the network gives probabilities, else none. Splits are in the order of the images, as in the original. */
export function inceptionScores(scoring: Scoring): Score[] {
  const { features, settings, order } = scoring;
  if (!features.probabilities) return [];
  scoring.stage("Inception Score");
  const { splitSize, errors } = settings;
  const { score, splits } = inceptionScore(features.probabilities, { splitSize });
  const standardError = errors
    ? inceptionScoreJackknife(rowsOf(features.probabilities, order), order.length).standardError
    : undefined;
  const classes = features.probabilities.shape[1];
  return [
    {
      key: "inceptionScore",
      value: score,
      better: "higher",
      name: isOfDigits(scoring) ? "classifier score" : "Inception Score",
      ...(standardError !== undefined && { standardError }),
      detail:
        `${isOfDigits(scoring) ? "the Inception Score's formula, " : ""}${classes} classes, ${splits} ${splits === 1 ? "split" : "splits"} of up to ${splitSize} images` +
        `${errors ? "; ± delete-a-tenth jackknife of all images as one split" : ""}`,
    },
  ];
}

/** One score for digits with labels, else none: Inception's classes are in another order than ImageNet's labels. */
export function accuracyScore(scoring: Scoring): Score[] {
  const { images, features, settings } = scoring;
  const { labels } = images;
  const { probabilities } = features;
  if (!isOfDigits(scoring) || !labels || !probabilities) return [];
  const predicted = predictedClasses(probabilities);
  const right = labels.filter((label, i) => label === predicted[i]).length;
  const share = right / labels.length;
  return [
    {
      key: "labelAccuracy",
      name: "label accuracy",
      value: share,
      better: "higher",
      ...(settings.errors && { standardError: Math.sqrt((share * (1 - share)) / labels.length) }),
      detail: `${right} of ${labels.length} images are taken for the class they were asked to be${settings.errors ? "; ± binomial" : ""}`,
    },
  ];
}

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
