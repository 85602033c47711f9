/** How sure a statistic of features is: a standard error by leaving rows out. */
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";

/** What leaving out a tenth of the rows, ten times, says about a statistic. */
export interface Jackknife {
  /** The statistic of all rows. */
  readonly estimate: number;
  /** √((g − 1)/g · Σ (θ₍ᵢ₎ − θ̄)²) over g = 10 groups */
  readonly standardError: number;
}

/**
 * Delete-a-tenth jackknife (Efron & Tibshirani 1993, chapter 11): group i is every tenth row from row i on, so that rows
 * sorted by class are left out evenly. The statistic is computed 11 times.
 * @throws InputError if there are fewer than 20 rows.
 */
export function jackknife(
  features: NDArray<"float32">,
  statistic: (features: NDArray<"float32">) => number,
): Jackknife {
  const groups = 10;
  const n = features.shape[0] ?? 0;
  if (n < 2 * groups)
    throw new InputError(`a jackknife over ${groups} groups needs at least ${2 * groups} rows, got ${n}`);
  const left = Array.from({ length: groups }, (_, group) => statistic(withoutGroup(features, group, groups)));
  const mean = left.reduce((sum, value) => sum + value, 0) / groups;
  const squares = left.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { estimate: statistic(features), standardError: Math.sqrt(((groups - 1) / groups) * squares) };
}

/** The rows whose index modulo `groups` is not `group`, copied. */
function withoutGroup(features: NDArray<"float32">, group: number, groups: number): NDArray<"float32"> {
  const [n, ...rest] = features.shape as [number, ...number[]];
  const kept = Array.from({ length: n }, (_, i) => i).filter((i) => i % groups !== group);
  const width = features.size / n;
  const data = new Float32Array(kept.length * width);
  kept.forEach((row, i) => {
    data.set(features.data.subarray(row * width, (row + 1) * width), i * width);
  });
  return new NDArray("float32", [kept.length, ...rest], data);
}
