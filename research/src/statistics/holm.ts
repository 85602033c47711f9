/** Holm's correction: p-values of several tests, so raised that one false finding among all of them stays improbable. */

/**
 * Adjusted p-values in the order given (Holm 1979, "A simple sequentially rejective multiple test procedure"): the i-th
 * smallest of m, from 0, times m − i, no smaller than the one before it, at most 1.
 */
export function holm(ps: readonly number[]): number[] {
  const order = Array.from(ps.keys()).sort((a, b) => ps[a]! - ps[b]!);
  const adjusted = new Array<number>(ps.length);
  let largest = 0;
  order.forEach((place, i) => {
    largest = Math.max(largest, Math.min(1, (ps.length - i) * ps[place]!));
    adjusted[place] = largest;
  });
  return adjusted;
}
