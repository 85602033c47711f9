/** Spearman's rank correlation: 1 where two lists order things alike, −1 where one reverses the other. */

/** NaN of fewer than two pairs, or where one list is constant. @throws RangeError for lists of unequal lengths. */
export function rankCorrelation(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length)
    throw new RangeError(`expected lists of one length, got ${a.length} and ${b.length} values`);
  const [x, y] = [centred(ranks(a)), centred(ranks(b))];
  const dot = (p: readonly number[], q: readonly number[]) => p.reduce((sum, value, i) => sum + value * q[i]!, 0);
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
}

/** The place of each value in ascending order; equal ones share the mean of their places. */
const ranks = (values: readonly number[]): number[] =>
  values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return below + (equal - 1) / 2;
  });

function centred(values: readonly number[]): number[] {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
}
