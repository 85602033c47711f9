/** Single samples against the reference: the nearest reference image of each, and how realistic each is. */
import { InputError } from "../../array/input-error.ts";
import { forEachDistanceRow } from "./distances.ts";
import { type Features, rowsAndWidth } from "./feature-rows.ts";
import type { MetricKernels } from "./kernels.ts";

/** For each point the centre nearest to it. */
export interface NearestRows {
  /** [m]; the first of equally near centres. */
  readonly index: Int32Array;
  /** [m] */
  readonly squaredDistance: Float64Array;
}

/**
 * The row of `centres` [n, d] nearest to each row of `points` [m, d]: a sample that lies on its nearest training image
 * was memorised.
 * @throws InputError if the dimensions differ or there is no centre.
 */
export async function nearestRows(kernels: MetricKernels, points: Features, centres: Features): Promise<NearestRows> {
  const [m] = rowsAndWidth(points);
  requireCentres(centres);
  const index = new Int32Array(m);
  const squaredDistance = new Float64Array(m).fill(Number.POSITIVE_INFINITY);
  await forEachDistanceRow(kernels, points, centres, (row) => {
    const { lower, upper, exact, index: i } = row;
    let limit = Number.POSITIVE_INFINITY;
    for (let j = 0; j < upper.length; j++) if (upper[j]! < limit) limit = upper[j]!;
    for (let j = 0; j < lower.length; j++) {
      if (lower[j]! > limit) continue;
      const squared = exact(j);
      if (squared < squaredDistance[i]!) [index[i], squaredDistance[i]] = [j, squared];
    }
  });
  return { index, squaredDistance };
}

/** The original's guard against division by zero. */
const EPSILON = 1e-5;

/**
 * Realism [m] of each row of `points` [m, d]: the largest radius ÷ distance over all balls around `centres` [n, d], so
 * 1 or more inside the manifold (eq. 3 of Kynkäänniemi et al. 2019). As in the ADM evaluator, both are squared
 * (`radii` [n] too), 1e-5 is added to the distance, and no ball is left out; the paper leaves out the larger half.
 * @throws InputError if the dimensions differ or there is no centre.
 */
export async function realism(
  kernels: MetricKernels,
  points: Features,
  centres: Features,
  radii: Float64Array,
): Promise<Float64Array> {
  requireCentres(centres);
  const scores = new Float64Array(rowsAndWidth(points)[0]);
  await forEachDistanceRow(kernels, points, centres, ({ lower, upper, exact, index }) => {
    let sure = 0;
    for (let j = 0; j < upper.length; j++) sure = Math.max(sure, radii[j]! / (Math.max(upper[j]!, 0) + EPSILON));
    for (let j = 0; j < lower.length; j++) {
      if (radii[j]! / (Math.max(lower[j]!, 0) + EPSILON) < sure) continue;
      scores[index] = Math.max(scores[index]!, radii[j]! / (exact(j) + EPSILON));
    }
  });
  return scores;
}

function requireCentres(centres: Features): void {
  if (rowsAndWidth(centres)[0] === 0)
    throw new InputError("nearest features: expected at least 1 reference row, got none");
}
