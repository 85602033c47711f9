/** The Inception Score, or with the digit classifier's classes the score of the same formula. */
import { rowsOf } from "../metrics/feature-rows.ts";
import { inceptionScore, inceptionScoreJackknife } from "../metrics/inception-score.ts";
import type { Score } from "./evaluation.ts";
import { isOfDigits, type Scoring } from "./scoring.ts";

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
      ...{ key: "inceptionScore", value: score, better: "higher" },
      name: isOfDigits(scoring) ? "classifier score" : "Inception Score",
      ...(standardError !== undefined && { standardError }),
      detail:
        `${isOfDigits(scoring) ? "the Inception Score's formula, " : ""}${classes} classes, ${splits} ${splits === 1 ? "split" : "splits"} of up to ${splitSize} images` +
        `${errors ? "; ± delete-a-tenth jackknife of all images as one split" : ""}`,
    },
  ];
}
