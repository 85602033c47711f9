/** An evaluation as lines of text. */
import { networkText } from "../../evaluation/reference/reference.ts";
import type { ClassCount } from "../../evaluation/scores/digit-scores.ts";
import type { Evaluation, Score } from "../../evaluation/scores/evaluation.ts";
import { tableLines } from "../table.ts";

/** A score with its error: `5.73 ± 0.04`. */
export function scoreText({ value, standardError, key }: Score): string {
  const isShare = key === "precision" || key === "recall" || key === "labelAccuracy";
  const digits = isShare ? 1 : Math.abs(value) < 0.1 ? 5 : Math.abs(value) < 1 ? 4 : 2;
  const text = (x: number) => (isShare ? 100 * x : x).toFixed(digits);
  const unit = isShare ? "%" : "";
  return standardError === undefined ? `${text(value)}${unit}` : `${text(value)} ± ${text(standardError)}${unit}`;
}

/** One line for each score, with what it depends on, and one for each warning. */
export function scoreLines({ scores, warnings, samples, network }: Evaluation): string[] {
  const rows = scores.map((score) => [score.name, scoreText(score), score.detail]);
  return [
    `${samples.name}: ${samples.count} images, features of ${networkText(network)}`,
    ...tableLines(rows, [1]),
    ...warnings.map((warning) => `note: ${warning}`),
  ];
}

/** Counts of each class, side by side. */
export function classLines(classes: readonly ClassCount[]): string[] {
  const fields = ["class", "wanted", "predicted", "correct"] as const;
  return fields.map((field) => field.padEnd(10) + classes.map((k) => String(k[field]).padStart(5)).join(""));
}
