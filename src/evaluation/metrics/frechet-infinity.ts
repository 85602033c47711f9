/** The Fréchet distance that infinitely many samples would have (Chong & Forsyth 2020, FID∞): its bias is removed by extrapolation. */

import { InputError } from "../../array/input-error.ts";
import { permutation } from "../../array/random.ts";
import { meanOf } from "../../array/reduce.ts";
import { type Features, rowsAndWidth, rowsOf } from "./feature-rows.ts";
import type { FrechetTo } from "./frechet.ts";
import { GaussianAccumulator, type GaussianStats } from "./gaussian-stats.ts";
import { blocksOf, type MetricKernels } from "./kernels.ts";

export interface FrechetInfinityOptions {
  /** Sample counts that the line is fitted through, evenly spaced up to all samples: 15 as in the paper. */
  readonly points?: number;
  /** The smallest of them: a tenth of the samples by default, the paper's 5,000 for 50,000. */
  readonly smallest?: number;
  /** Of the draws of the subsets: 0 by default. */
  readonly seed?: number;
}

export interface FrechetInfinity {
  /** The line's value at 1/N = 0. */
  readonly distance: number;
  /** The line's rise over 1/N: the bias of N samples is about slope/N. */
  readonly slope: number;
  readonly points: readonly { readonly count: number; readonly distance: number }[];
}

/**
 * Fits FD_N ≈ FD∞ + slope/N (section 3 of the paper, with plain random subsets) to the distances of random subsets of
 * `features` [n, d]. The bias is linear in 1/N only where N is well above d.
 * @throws InputError unless there are at least 2 points and 2 ≤ smallest < n.
 */
export async function frechetInfinity(
  kernels: MetricKernels,
  distanceTo: FrechetTo,
  features: Features,
  options: FrechetInfinityOptions = {},
): Promise<FrechetInfinity> {
  const [n] = rowsAndWidth(features);
  const { points = 15, smallest = Math.max(2, Math.floor(n / 10)), seed = 0 } = options;
  if (!(Number.isInteger(points) && points >= 2)) throw new InputError(`FD∞: a line needs 2 points, got ${points}`);
  if (!(Number.isInteger(smallest) && smallest >= 2 && smallest < n)) {
    throw new InputError(`FD∞: expected a smallest subset of 2 to ${n - 1} of ${n} samples, got ${smallest}`);
  }
  const found: { count: number; distance: number }[] = [];
  for (let step = 0; step < points; step++) {
    const count = Math.round(smallest + ((n - smallest) * step) / (points - 1));
    const order = permutation({ seed, purpose: "frechet infinity", step, index: 0 }, n);
    const stats = await statsOfRows(kernels, features, order.subarray(0, count));
    found.push({ count, distance: (await distanceTo(stats)).distance });
  }
  return { ...fittedLine(found), points: found };
}

/** Statistics of some rows, some at a time: a copy of all could be as large as the features. */
async function statsOfRows(kernels: MetricKernels, features: Features, rows: Int32Array): Promise<GaussianStats> {
  const accumulator = new GaussianAccumulator(kernels, rowsAndWidth(features)[1]);
  for (const { start, end } of blocksOf(rows.length, 1000)) {
    await accumulator.add(rowsOf(features, rows.subarray(start, end)));
  }
  return (await accumulator.finish()).all;
}

/** Ordinary least squares of the distance over 1/count. */
function fittedLine(points: FrechetInfinity["points"]): { distance: number; slope: number } {
  const centreX = meanOf(points.map(({ count }) => 1 / count));
  const centreY = meanOf(points.map(({ distance }) => distance));
  let [along, across] = [0, 0];
  for (const { count, distance } of points) {
    along += (1 / count - centreX) ** 2;
    across += (1 / count - centreX) * (distance - centreY);
  }
  const slope = across / along;
  return { distance: centreY - slope * centreX, slope };
}
