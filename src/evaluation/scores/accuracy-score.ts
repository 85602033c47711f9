/** How many images are taken for the class that they were asked to be: where the network knows the model's classes. */
import { largest } from "../features/digit-features.ts";
import type { Score } from "./evaluation.ts";
import { isOfDigits, type Scoring } from "./scoring.ts";

/** One score for digits with labels, else none: Inception's classes are in another order than ImageNet's labels. */
export function accuracyScore(scoring: Scoring): Score[] {
  const { images, features, settings } = scoring;
  const { labels } = images;
  const { probabilities } = features;
  if (!isOfDigits(scoring) || !labels || !probabilities) return [];
  const right = labels.reduce(
    (count, label, i) => count + (largest(probabilities.rows(i, i + 1).data) === label ? 1 : 0),
    0,
  );
  const share = right / labels.length;
  return [
    {
      ...{ key: "labelAccuracy", name: "label accuracy", value: share, better: "higher" },
      ...(settings.errors && { standardError: Math.sqrt((share * (1 - share)) / labels.length) }),
      detail: `${right} of ${labels.length} images are taken for the class they were asked to be${settings.errors ? "; ± binomial" : ""}`,
    },
  ];
}
