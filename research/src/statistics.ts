/** Statistics of results: means with errors, exact tests and their correction, rank correlation, agreement of masks. */
import { InputError } from "tinyfusion";

export interface Mean {
  readonly n: number;
  /** NaN of no value. */
  readonly mean: number;
  /** Standard deviation (n − 1) ÷ √n; NaN of fewer than two values. */
  readonly standardError: number;
}

/** The mean of any number of values. */
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

export interface SignFlipTest {
  readonly n: number;
  /** Of the differences, with its standard error. */
  readonly mean: number;
  readonly standardError: number;
  /** Share of all 2ⁿ sign patterns whose sum is at least the observed one: the hypothesis is a mean above 0. */
  readonly oneSided: number;
  /** Share of patterns whose sum is at least as far from 0. */
  readonly twoSided: number;
}

/** 2²⁰ patterns take a moment; studies have fewer pairs. */
const MOST = 20;

/**
 * Fisher's randomization test on paired differences (The Design of Experiments, 1935, section 21): if both members of a pair
 * come from one distribution, each difference is as likely with the other sign. All patterns are counted, the observed one
 * too, so that no p-value is below 2⁻ⁿ. Sums that differ by rounding count as equal.
 * @throws InputError for no difference, more than 20, or one that is not finite.
 */
export function signFlipTest(differences: readonly number[]): SignFlipTest {
  const n = differences.length;
  if (n < 1 || n > MOST || !differences.every(Number.isFinite)) {
    throw new InputError(`sign-flip test: expected 1 to ${MOST} finite differences, got [${differences}]`);
  }
  const observed = differences.reduce((sum, d) => sum + d, 0);
  const tolerance = 1e-12 * differences.reduce((sum, d) => sum + Math.abs(d), 0);
  let [above, beyond] = [0, 0];
  for (let pattern = 0; pattern < 2 ** n; pattern++) {
    const sum = differences.reduce((total, d, i) => total + ((pattern >> i) & 1 ? -d : d), 0);
    if (sum >= observed - tolerance) above++;
    if (Math.abs(sum) >= Math.abs(observed) - tolerance) beyond++;
  }
  const { mean, standardError } = meanOf(differences);
  return { n, mean, standardError, oneSided: above / 2 ** n, twoSided: beyond / 2 ** n };
}

/** The fraction of a search after which its decision no longer changed: 0 if it never did. */
export const lastFlip = (flips: readonly number[], steps: number): number => (flips.at(-1) ?? 0) / steps;

/** Share of blocks that two masks decide alike, mean over all pairs of masks; NaN of fewer than two. */
export function agreementOf(masks: readonly (readonly number[])[], depth: number): number {
  const shares = masks.flatMap((a, i) => masks.slice(i + 1).map((b) => alike(a, b, depth)));
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

function alike(a: readonly number[], b: readonly number[], depth: number): number {
  const [one, other] = [new Set(a), new Set(b)];
  const same = Array.from({ length: depth }, (_, block) => one.has(block) === other.has(block));
  return same.filter(Boolean).length / depth;
}
