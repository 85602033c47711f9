/** Squared distances between many features: float32 products bound them all, and those that decide are computed exactly. */
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { input, matmul } from "../../graph/build.ts";
import { symbolicDim } from "../../graph/dim.ts";
import type { Graph } from "../../graph/graph.ts";
import { commonWidth, type Features, rowsAndWidth } from "./feature-rows.ts";
import { blocksOf, type MetricKernels } from "./kernels.ts";

/** What is known of the squared distances from one point to all n centres. Its arrays are used again for the next point. */
export interface DistanceRow {
  /** Row number of the point. */
  readonly index: number;
  /** [n]: the distance in float64 lies in [lower, upper]; lower may be below 0. */
  readonly lower: Float64Array;
  readonly upper: Float64Array;
  /** The distance to centre j, summed in float64 over the differences. */
  exact(j: number): number;
}

/** Products of one run, in numbers: 32 MB. */
const PRODUCTS = 8e6;
const MOST_ROWS = 1000;

/**
 * Calls `visit` for each row of `points` [m, d] with its squared distances to the rows of `centres` [n, d].
 *
 * With x and y less a common c, |x − y|² = |x|² + |y|² − 2 x·y, of which the engine computes x·y in float32. In whatever
 * order it adds, that product is off by at most d·u·|x||y| ≤ d·u·(|x|² + |y|²)/2, where u = 2⁻²⁴ (Higham, "Accuracy and
 * Stability", 3.1), and rounding x − c and y − c moves the distance by at most 4u·(|x|² + |y|²). Squared norms are float64.
 * @throws InputError if the dimensions differ or a feature is not finite.
 */
export async function forEachDistanceRow(
  kernels: MetricKernels,
  points: Features,
  centres: Features,
  visit: (row: DistanceRow) => void,
): Promise<void> {
  const d = commonWidth(points, centres);
  const [m, n] = [points.shape[0]!, centres.shape[0]!];
  if (m === 0 || n === 0) return;
  const middle = meanRow(centres, d);
  const b = centred(centres, middle, d);
  const margin = 1.01 * (d + 8) * 2 ** -24;
  const [lower, upper] = [new Float64Array(n), new Float64Array(n)];
  for (const { start, end } of blocksOf(m, Math.max(3, Math.min(MOST_ROWS, Math.floor(PRODUCTS / n))))) {
    const a = centred(points.rows(start, end), middle, d);
    const { dots } = await kernels.run("dots", dotsGraph, { a: a.rows, b: b.rows });
    for (let i = start; i < end; i++) {
      const row = (dots as Features).data.subarray((i - start) * n, (i - start + 1) * n);
      const square = a.squares[i - start]!;
      for (let j = 0; j < n; j++) {
        const squares = square + b.squares[j]!;
        const middle = squares - 2 * row[j]!;
        lower[j] = middle - margin * squares;
        upper[j] = middle + margin * squares;
      }
      visit({ index: i, lower, upper, exact: (j) => squaredDistance(points.data, i * d, centres.data, j * d, d) });
    }
  }
}

/** Σ (a − b)² over `d` numbers from two places, in float64. */
export function squaredDistance(a: Float32Array, aStart: number, b: Float32Array, bStart: number, d: number): number {
  let [even, odd] = [0, 0];
  let k = 0;
  for (; k + 1 < d; k += 2) {
    const first = a[aStart + k]! - b[bStart + k]!;
    const second = a[aStart + k + 1]! - b[bStart + k + 1]!;
    even += first * first;
    odd += second * second;
  }
  if (k < d) even += (a[aStart + k]! - b[bStart + k]!) ** 2;
  return even + odd;
}

function dotsGraph(): Graph {
  const [m, n, d] = ["m", "n", "d"].map((name) => symbolicDim(name));
  return { outputs: { dots: matmul(input("a", [m!, d!]), input("b", [n!, d!]), { transposeB: true }) } };
}

/** The mean of all rows, rounded to float32: a difference to it is rounded only once. */
function meanRow({ data, shape }: Features, d: number): Float32Array {
  const n = shape[0]!;
  const mean = new Float64Array(d);
  for (let i = 0; i < n; i++) for (let j = 0; j < d; j++) mean[j]! += data[i * d + j]!;
  return Float32Array.from(mean, (total) => total / n);
}

/** Rows less `middle`, and their squared norms. */
function centred(features: Features, middle: Float32Array, d: number): { rows: Features; squares: Float64Array } {
  const { data, shape } = features;
  const rows = new Float32Array(data.length);
  const squares = new Float64Array(shape[0]!);
  for (let i = 0; i < squares.length; i++) {
    let total = 0;
    for (let j = 0; j < d; j++) {
      const at = i * d + j;
      rows[at] = data[at]! - middle[j]!;
      total += rows[at]! * rows[at]!;
    }
    // Products of two rows are at most as large as the larger of their squares, and are float32.
    if (!Number.isFinite(Math.fround(total)))
      throw new InputError(`distances: a feature is not finite, or too large, in row ${i}`);
    squares[i] = total;
  }
  return { rows: new NDArray("float32", shape, rows), squares };
}

/** For each point the centre nearest to it. */
export interface NearestRows {
  /** [m]; the first of equally near centres. */
  readonly index: Int32Array;
  /** [m] */
  readonly squaredDistance: Float64Array;
}

/**
 * The row of `centres` [n, d] nearest to each row of `points` [m, d]: a sample equal to its nearest training image
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
