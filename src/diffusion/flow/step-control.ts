/** The choice of steps by their errors, group by group (Hairer, Nørsett and Wanner 1993, section II.4). */
import { InputError } from "../../array/input-error.ts";
import type { Interval } from "./path.ts";

/** Rows that share a time and a step. */
export interface RowGroup {
  readonly first: number;
  readonly end: number;
  t: number;
  /** The step that is tried next; 0 once the end is reached. */
  h: number;
  accepted: number;
  rejected: number;
}

const order = 5;
const safety = 0.9;
const largestGrowth = 10;
const smallestShrinkage = 0.2;
/** Of the interval; float32 times cannot resolve much less. */
const smallestStep = 1e-6;

/** The first step from a probe of size h0, the slope's size there and that of the slope's derivative. */
export function firstStep(h0: number, slope: number, change: number): number {
  const h1 =
    slope <= 1e-15 && change <= 1e-15 ? Math.max(1e-6, h0 * 1e-3) : (0.01 / Math.max(slope, change)) ** (1 / order);
  return Math.min(100 * h0, h1);
}

/**
 * Moves the group's time if its error is at most 1, and sets its next step: never smaller after an accepted step.
 * @throws InputError if a step is refused that is already as small as can be.
 */
export function nextStep(group: RowGroup, error: number, [from, to]: Interval): boolean {
  const isAccepted = error <= 1;
  const { t, h, first } = group;
  if (!isAccepted && !(Math.abs(h) > smallestStep * Math.abs(to - from))) {
    throw new InputError(
      `dopri5: no step meets the tolerance at t = ${t} (sample ${first}): the last one tried is ${h}, its error ${error} ` +
        "times the allowed one; try a larger tolerance, or the method heun",
    );
  }
  if (isAccepted) {
    // The whole way left is taken as such, so that the end is met to the last bit.
    group.t = h === to - t ? to : t + h;
    group.accepted++;
  } else group.rejected++;
  const factor = Math.min(largestGrowth, Math.max(safety / error ** (1 / order), isAccepted ? 1 : smallestShrinkage));
  group.h = h * (Number.isNaN(factor) ? smallestShrinkage : factor);
  if (group.t === to) group.h = 0;
  return isAccepted;
}
