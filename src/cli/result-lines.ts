/** Lines about sampled images: by which model and cache, how they score. */
import { networkText } from "../evaluation/reference/reference.ts";
import type { ClassCount } from "../evaluation/scores/digit-scores.ts";
import type { Evaluation } from "../evaluation/scores/evaluation.ts";
import { cacheOf } from "../sampling/caching/step-cache.ts";
import { scoreText } from "../tasks/evaluation-report.ts";
import type { ModelSampling } from "../tasks/open-sampling.ts";
import { stacksText } from "../weights/fitting-models.ts";
import { bytesText, tableLines } from "./table.ts";

/** Which weights and blocks sampled, in a few words. */
export function modelUsed({ file: { weights, model }, blocks }: ModelSampling): string {
  const ran = blocks ? `${blocks.length} of ${model.config.depth}` : stacksText(model);
  return `${weights === "ema" ? "averaged (EMA)" : "raw"} weights, ${ran} blocks`;
}

/** A line about the step cache of a run, from the `derived` values of its sampler; none without a cache. */
export function cacheLines(derived: Readonly<Record<string, unknown>>): string[] {
  const cache = cacheOf({ derived });
  if (!cache) return [];
  const { tolerance, weights, computedAt, curves, graphs, savedShare, residentBytes } = cache;
  const { evaluations } = curves.measured;
  const count = Object.keys(graphs).length;
  const how = weights ? `predicted from up to ${weights.attention[0]?.length} earlier outputs` : "saved";
  return [
    `cache ${tolerance}: attention computed in ${computedAt.attention.length} of ${evaluations} evaluations, MLPs in ` +
      `${computedAt.mlp.length} (${(100 * savedShare).toFixed(0)}% of all branches ${how}); ` +
      `${count} ${count === 1 ? "graph" : "graphs"}, ${bytesText(residentBytes)} resident`,
  ];
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
