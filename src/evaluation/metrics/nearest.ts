/** Single samples against the reference: the nearest reference image of each. */
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
  if (rowsAndWidth(centres)[0] === 0) {
    throw new InputError("nearest features: expected at least 1 reference row, got none");
  }
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
