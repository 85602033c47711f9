/** Improved precision and recall (Kynkäänniemi et al. 2019): are samples inside the real data's manifold, and the reverse? */
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";

/** Shares in [0, 1]. */
export interface PrecisionRecall {
  /** Share of generated features inside a ball of the reference manifold: fidelity. */
  readonly precision: number;
  /** Share of reference features inside a ball of the generated manifold: diversity. */
  readonly recall: number;
}

/**
 * Precision and recall of `generated` [m, d] against `reference` [n, d]. A manifold is the union of balls around its
 * features, each as large as the distance to the k-th nearest other feature (eq. 1 and 2).
 * @throws InputError if the dimensions differ or a set has no more than k rows.
 */
export function precisionRecall(
  reference: NDArray<"float32">,
  generated: NDArray<"float32">,
  { neighbours = 3 }: { readonly neighbours?: number } = {},
): PrecisionRecall {
  return {
    precision: shareInside(generated, reference, squaredRadii(reference, neighbours)),
    recall: shareInside(reference, generated, squaredRadii(generated, neighbours)),
  };
}

/**
 * Squared distance [n] from each row of `features` [n, d] to its `neighbours`-th nearest other row; equal rows count.
 * @throws InputError if there are not more than `neighbours` rows.
 */
export function squaredRadii(features: NDArray<"float32">, neighbours: number): Float64Array {
  const n = checkedShape(features)[0];
  if (!(Number.isInteger(neighbours) && neighbours > 0 && n > neighbours)) {
    throw new InputError(`${neighbours} nearest neighbours need more rows of features than that, at least 2, got ${n}`);
  }
  const nearest = new Float64Array(n * neighbours).fill(Number.POSITIVE_INFINITY); // ascending in each row
  forEachSquaredDistance(features, features, (i, j, squared) => {
    if (j >= i) return;
    insertAscending(nearest, i * neighbours, neighbours, squared);
    insertAscending(nearest, j * neighbours, neighbours, squared);
  });
  return Float64Array.from({ length: n }, (_, i) => nearest[(i + 1) * neighbours - 1]!);
}

/**
 * Share of the rows of `points` [m, d] that lie in a ball around a row of `centres` [n, d] with `radii` [n] (squared).
 * @throws InputError if the dimensions differ or there is no point.
 */
export function shareInside(points: NDArray<"float32">, centres: NDArray<"float32">, radii: Float64Array): number {
  const m = checkedShape(points)[0];
  if (m === 0) throw new InputError("precision and recall need at least 1 row of features on each side");
  const inside = new Uint8Array(m);
  forEachSquaredDistance(points, centres, (i, j, squared) => {
    if (squared <= radii[j]!) inside[i] = 1;
  });
  return inside.reduce((count, one) => count + one, 0) / m;
}

/** Calls `visit(i, j, |aᵢ − bⱼ|²)` for all rows of `a` and `b`, a block of rows at a time so that they stay in the cache. */
function forEachSquaredDistance(
  a: NDArray<"float32">,
  b: NDArray<"float32">,
  visit: (i: number, j: number, squared: number) => void,
): void {
  const [m, d] = checkedShape(a);
  const [n, otherD] = checkedShape(b);
  if (d !== otherD) throw new InputError(`features of dimension ${d} cannot be compared with ${otherD}`);
  const block = 32;
  for (let top = 0; top < m; top += block) {
    for (let left = 0; left < n; left += block) {
      for (let i = top; i < Math.min(top + block, m); i++) {
        for (let j = left; j < Math.min(left + block, n); j++) {
          visit(i, j, squaredDistance(a.data, i * d, b.data, j * d, d));
        }
      }
    }
  }
}

function squaredDistance(a: Float32Array, aStart: number, b: Float32Array, bStart: number, d: number): number {
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

/** Puts `value` among the `count` smallest, which stand ascending from `start`, if it belongs there. */
function insertAscending(sorted: Float64Array, start: number, count: number, value: number): void {
  let place = start + count - 1;
  if (!(value < sorted[place]!)) return;
  for (; place > start && sorted[place - 1]! > value; place--) sorted[place] = sorted[place - 1]!;
  sorted[place] = value;
}

function checkedShape(features: NDArray<"float32">): [number, number] {
  if (features.shape.length !== 2) throw new InputError(`features are [n, d], got the shape [${features.shape}]`);
  return features.shape as [number, number];
}
