/** A mean with its standard error over seeds. */

export interface Mean {
  readonly n: number;
  /** NaN of no value. */
  readonly mean: number;
  /** Standard deviation (n − 1) ÷ √n; NaN of fewer than two values. */
  readonly standardError: number;
}

/** Of any number of values. */
export function meanOf(values: readonly number[]): Mean {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { n, mean, standardError: Math.sqrt(squares / (n - 1) / n) };
}

/** `43.9 ± 1.2`, or the mean alone where one seed is all there is; a dash for none. */
export function meanText({ mean, standardError }: Mean, decimals = 1): string {
  if (!Number.isFinite(mean)) return "–";
  const text = mean.toFixed(decimals);
  return Number.isFinite(standardError) ? `${text} ± ${standardError.toFixed(decimals)}` : text;
}
