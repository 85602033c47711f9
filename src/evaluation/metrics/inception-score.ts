/** Inception Score (Salimans et al. 2016, eq. 1): are images clearly of one class each, and of many classes together? */
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import { meanOf } from "../../array/reduce.ts";
import { JACKKNIFE_GROUPS, type Jackknife, jackknife, requireJackknifeRows } from "./feature-rows.ts";

export interface InceptionScoreOptions {
  /** Images of one split: 5,000 by default. */
  readonly splitSize?: number;
}

export interface InceptionScore {
  /** exp(mean KL(p(y|x) ‖ p(y))) of each split, averaged over splits: 1 to the number of classes. */
  readonly score: number;
  /** Over the splits, divided by their number; 0 for one split. */
  readonly standardDeviation: number;
  readonly splits: number;
}

/**
 * The score of `probabilities` [n, K], whose rows sum to 1, by the rule of the ADM evaluator: splits of `splitSize`
 * consecutive rows, of which the last may be shorter and counts as much as the others. Computed in float64 (the original
 * is float32); a probability of 0 adds nothing (the original's is not a number).
 * @throws InputError for no rows, rows that are no distributions, or a split size that is no positive integer.
 */
export function inceptionScore(
  probabilities: NDArray<"float32">,
  { splitSize = 5000 }: InceptionScoreOptions = {},
): InceptionScore {
  return scoreOf(probabilities, negativeEntropies(probabilities), splitSize);
}

/**
 * The score with its standard error; left-out rows let the others move up, so splits keep their size.
 * @throws InputError as {@link inceptionScore}, or if there are fewer than 20 rows.
 */
export function inceptionScoreJackknife(probabilities: NDArray<"float32">, splitSize: number): Jackknife {
  requireJackknifeRows(probabilities.shape[0] ?? 0);
  const entropies = negativeEntropies(probabilities);
  const leftOut = Array.from({ length: JACKKNIFE_GROUPS }, (_, group) =>
    scoreOf(probabilities, entropies, splitSize, group),
  );
  return jackknife(
    scoreOf(probabilities, entropies, splitSize).score,
    leftOut.map(({ score }) => score),
  );
}

/** Rounding of float32 probabilities stays far below. */
const MOST_OFF_ONE = 1e-3;

/** Σ_k p log p of each row [n]. */
function negativeEntropies(probabilities: NDArray<"float32">): Float64Array {
  const { shape, data } = probabilities;
  if (shape.length !== 2) throw new InputError(`Inception Score: probabilities are [n, K], got the shape [${shape}]`);
  const [n, classes] = shape as readonly number[] as readonly [number, number];
  if (n === 0) throw new InputError("Inception Score: expected at least 1 row of probabilities, got none");
  const sums = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let total = 0;
    for (let k = i * classes; k < (i + 1) * classes; k++) {
      const p = data[k]!;
      total += p < 0 ? Number.NaN : p;
      if (p > 0) sums[i]! += p * Math.log(p);
    }
    if (!(Math.abs(total - 1) <= MOST_OFF_ONE)) {
      throw new InputError(
        `Inception Score: expected probabilities of 0 or more that sum to 1, found others in row ${i}; feed the classifier's softmax`,
      );
    }
  }
  return sums;
}

/** The score of all rows but those of the group `left`: mean KL = mean Σ p log p − Σ p̄ log p̄, with p̄ the split's mean. */
function scoreOf(
  { shape, data }: NDArray<"float32">,
  entropies: Float64Array,
  splitSize: number,
  left?: number,
): InceptionScore {
  if (!(Number.isInteger(splitSize) && splitSize > 0)) {
    throw new InputError(`Inception Score: expected a positive whole split size, got ${splitSize}`);
  }
  const [n, classes] = shape as readonly number[] as readonly [number, number];
  const scores: number[] = [];
  const marginal = new Float64Array(classes);
  let [rows, entropy] = [0, 0];
  const close = () => {
    if (rows === 0) return;
    const mixed = marginal.reduce((sum, p) => (p > 0 ? sum + (p / rows) * Math.log(p / rows) : sum), 0);
    scores.push(Math.exp(entropy / rows - mixed));
    marginal.fill(0);
    [rows, entropy] = [0, 0];
  };
  for (let i = 0; i < n; i++) {
    if (left !== undefined && i % JACKKNIFE_GROUPS === left) continue;
    for (let k = 0; k < classes; k++) marginal[k]! += data[i * classes + k]!;
    entropy += entropies[i]!;
    if (++rows === splitSize) close();
  }
  close();
  const score = meanOf(scores);
  const squares = scores.reduce((sum, value) => sum + (value - score) ** 2, 0);
  return { score, standardDeviation: Math.sqrt(squares / scores.length), splits: scores.length };
}
