/** The exact sign-flip test: how often paired differences would be as large as these if their signs were a matter of luck. */
import { InputError } from "tinyfusion";
import { meanOf } from "./mean.ts";

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

/** 2²⁰ patterns take a moment; nobody has more pairs here. */
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
