/** Precision, recall and the kernel distance: what needs features of single reference images. */
import { type Features, rowsOf, someRows } from "../metrics/feature-rows.ts";
import { type Kernel, kernelDistanceJackknife, medianKernel } from "../metrics/kernel-distance.ts";
import { precisionRecall, subsampledPrecisionRecall } from "../metrics/precision-recall.ts";
import type { Score } from "./evaluation.ts";
import type { Scoring } from "./scoring.ts";

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
      ...{ key, name: key, value: found[key], better: "higher" },
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
  const drawn = rowsOf(features.pooled, chosen);
  const { estimate, standardError } = await kernelDistanceJackknife(kernels, real, drawn, kernel);
  return {
    ...{ key: "kernelDistance", name: "MMD × 1000", better: "lower" },
    value: FACTOR * estimate,
    ...(settings.errors && { standardError: FACTOR * standardError }),
    detail:
      `unbiased, Gaussian kernel of bandwidth ${(kernel as { bandwidth: number }).bandwidth.toPrecision(4)}` +
      `${settings.bandwidth === undefined ? " (median distance of the reference)" : ""}, ${chosen.length} images against ` +
      `${real.shape[0]}${settings.errors ? "; ± delete-a-tenth jackknife" : ""}`,
  };
}
