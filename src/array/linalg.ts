/** Dense float64 linear algebra on the host: products, a Cholesky factor of a semi-definite matrix, symmetric eigenvalues. */

// Matrices are row-major Float64Arrays whose sizes are arguments.

/** The product of `a` [rows, inner] and `b` [inner, columns]: [rows, columns]. */
export function matmul(a: Float64Array, b: Float64Array, rows: number, inner: number, columns: number): Float64Array {
  const product = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    addRowTimesMatrix(product, i * columns, columns, a, i * inner, b, inner, columns);
  }
  return product;
}

/** Adds xᵀx of `x` [rows, columns] to the lower triangle of `gram` [columns, columns]; {@link mirrorLower} completes it. */
export function addGram(gram: Float64Array, x: Float64Array, rows: number, columns: number): void {
  const transposed = transpose(x, rows, columns);
  for (let i = 0; i < columns; i++) {
    addRowTimesMatrix(gram, i * columns, i + 1, transposed, i * rows, x, rows, columns);
  }
}

/** Copies the lower triangle of `matrix` [n, n] onto the upper one. */
export function mirrorLower(matrix: Float64Array, n: number): void {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) matrix[j * n + i] = matrix[i * n + j]!;
  }
}

/** The transpose [columns, rows] of `matrix` [rows, columns]. */
export function transpose(matrix: Float64Array, rows: number, columns: number): Float64Array {
  const turned = new Float64Array(matrix.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) turned[j * rows + i] = matrix[i * columns + j]!;
  }
  return turned;
}

/** A factor L [n, rank] with L·Lᵀ equal to the factored matrix. */
export interface SemidefiniteFactor {
  readonly factor: Float64Array;
  readonly rank: number;
}

/**
 * Cholesky factor of a symmetric positive semi-definite `matrix` [n, n], of which the lower triangle is read.
 * A pivot at or below `tolerance` (default n · 2.2e-16 · the largest diagonal entry) counts as zero: in a semi-definite
 * matrix the rest of its column is zero too, so the column is left out and the factor has as many columns as the rank.
 */
export function choleskySemidefinite(
  matrix: Float64Array,
  n: number,
  tolerance = n * Number.EPSILON * largestDiagonal(matrix, n),
): SemidefiniteFactor {
  const wide = new Float64Array(n * n);
  let rank = 0;
  for (let j = 0; j < n; j++) {
    const pivot = matrix[j * n + j]! - dot(wide, j * n, wide, j * n, rank);
    if (!(pivot > tolerance)) continue;
    const root = Math.sqrt(pivot);
    wide[j * n + rank] = root;
    for (let i = j + 1; i < n; i++) {
      wide[i * n + rank] = (matrix[i * n + j]! - dot(wide, i * n, wide, j * n, rank)) / root;
    }
    rank++;
  }
  const factor = new Float64Array(n * rank);
  for (let i = 0; i < n; i++) factor.set(wide.subarray(i * n, i * n + rank), i * rank);
  return { factor, rank };
}

/**
 * Eigenvalues, ascending, of a symmetric `matrix` [n, n], of which the lower triangle is read: Householder reduction to
 * a tridiagonal matrix, then QL with implicit shifts (Golub & Van Loan, "Matrix Computations", 8.3; EISPACK tred1, imtql1).
 * @throws RangeError if an eigenvalue has not converged after 60 sweeps, as for a matrix that is not finite.
 */
export function symmetricEigenvalues(matrix: Float64Array, n: number): Float64Array {
  const { diagonal, offDiagonal } = tridiagonalise(matrix.slice(), n);
  for (let k = 0; k < n; k++) convergeEigenvalue(diagonal, offDiagonal, k);
  return diagonal.sort();
}

function largestDiagonal(matrix: Float64Array, n: number): number {
  let largest = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, matrix[i * n + i]!);
  return largest;
}

function dot(a: Float64Array, aStart: number, b: Float64Array, bStart: number, length: number): number {
  let [even, odd] = [0, 0];
  let i = 0;
  for (; i + 1 < length; i += 2) {
    even += a[aStart + i]! * b[bStart + i]!;
    odd += a[aStart + i + 1]! * b[bStart + i + 1]!;
  }
  return i < length ? even + odd + a[aStart + i]! * b[bStart + i]! : even + odd;
}

/** Adds the first `width` entries of a's row (at `aStart`) times `b` [inner, columns] to `target` at `start`; four rows of b at a time. */
function addRowTimesMatrix(
  target: Float64Array,
  start: number,
  width: number,
  a: Float64Array,
  aStart: number,
  b: Float64Array,
  inner: number,
  columns: number,
): void {
  let p = 0;
  for (; p + 3 < inner; p += 4) {
    const [a0, a1, a2, a3] = [a[aStart + p]!, a[aStart + p + 1]!, a[aStart + p + 2]!, a[aStart + p + 3]!];
    if (a0 === 0 && a1 === 0 && a2 === 0 && a3 === 0) continue;
    const [b0, b1, b2, b3] = [p * columns, (p + 1) * columns, (p + 2) * columns, (p + 3) * columns];
    for (let j = 0; j < width; j++) {
      target[start + j]! += a0 * b[b0 + j]! + a1 * b[b1 + j]! + a2 * b[b2 + j]! + a3 * b[b3 + j]!;
    }
  }
  for (; p < inner; p++) {
    const a0 = a[aStart + p]!;
    for (let j = 0; j < width; j++) target[start + j]! += a0 * b[p * columns + j]!;
  }
}

/** Reduces the lower triangle of `a` [n, n], which is overwritten; `offDiagonal[i]` stands between i and i + 1. */
function tridiagonalise(a: Float64Array, n: number): { diagonal: Float64Array; offDiagonal: Float64Array } {
  const diagonal = new Float64Array(n);
  const offDiagonal = new Float64Array(n);
  const u = new Float64Array(n);
  for (let k = n - 1; k > 0; k--) {
    diagonal[k] = a[k * n + k]!;
    u.set(a.subarray(k * n, k * n + k));
    offDiagonal[k - 1] = reflect(a, n, u, k);
  }
  if (n > 0) diagonal[0] = a[0]!;
  return { diagonal, offDiagonal };
}

/**
 * Turns `u` [k], row k of the matrix left of its diagonal, onto its last axis by a Householder reflection H = 1 − u·uᵀ/h
 * and applies H·A·H to the leading [k, k] block of `a`. Returns the entry that remains of the row.
 */
function reflect(a: Float64Array, n: number, u: Float64Array, k: number): number {
  const last = u[k - 1]!;
  let scale = 0;
  for (let i = 0; i < k - 1; i++) scale = Math.max(scale, Math.abs(u[i]!));
  if (scale === 0) return last;
  scale = Math.max(scale, Math.abs(last)); // so that squares neither overflow nor vanish
  for (let i = 0; i < k; i++) u[i]! /= scale;
  const norm = Math.sqrt(dot(u, 0, u, 0, k)) * (u[k - 1]! > 0 ? -1 : 1);
  const h = norm * norm - u[k - 1]! * norm;
  u[k - 1]! -= norm;
  const w = symmetricTimesVector(a, n, u, k);
  for (let i = 0; i < k; i++) w[i]! /= h;
  const half = dot(u, 0, w, 0, k) / (2 * h);
  for (let i = 0; i < k; i++) w[i]! -= half * u[i]!;
  for (let i = 0; i < k; i++) {
    const [ui, wi] = [u[i]!, w[i]!];
    for (let j = 0; j <= i; j++) a[i * n + j]! -= ui * w[j]! + wi * u[j]!;
  }
  return scale * norm;
}

/** The leading [k, k] block of the lower triangle of `a`, as a symmetric matrix, times `u` [k]. */
function symmetricTimesVector(a: Float64Array, n: number, u: Float64Array, k: number): Float64Array {
  const product = new Float64Array(k);
  for (let i = 0; i < k; i++) {
    const ui = u[i]!;
    let sum = a[i * n + i]! * ui;
    for (let j = 0; j < i; j++) {
      const entry = a[i * n + j]!;
      sum += entry * u[j]!;
      product[j]! += entry * ui;
    }
    product[i]! += sum;
  }
  return product;
}

/** QL sweeps on the tridiagonal matrix from k downward until `diagonal[k]` is an eigenvalue. */
function convergeEigenvalue(diagonal: Float64Array, offDiagonal: Float64Array, k: number): void {
  for (let sweep = 0; sweep < 60; sweep++) {
    const end = firstNegligible(diagonal, offDiagonal, k);
    if (end === k) return;
    sweepImplicitly(diagonal, offDiagonal, k, end);
  }
  throw new RangeError(`symmetricEigenvalues: eigenvalue ${k} of ${diagonal.length} has not converged`);
}

/** The first index from k on whose off-diagonal entry no longer counts beside its diagonal neighbours. */
function firstNegligible(diagonal: Float64Array, offDiagonal: Float64Array, k: number): number {
  let m = k;
  for (; m < diagonal.length - 1; m++) {
    const beside = Math.abs(diagonal[m]!) + Math.abs(diagonal[m + 1]!);
    if (beside + Math.abs(offDiagonal[m]!) === beside) break;
  }
  return m;
}

/** One implicitly shifted QL sweep of the unreduced block [k, end], with Wilkinson's shift, as a chain of plane rotations. */
function sweepImplicitly(diagonal: Float64Array, offDiagonal: Float64Array, k: number, end: number): void {
  const ratio = (diagonal[k + 1]! - diagonal[k]!) / (2 * offDiagonal[k]!);
  const root = Math.hypot(ratio, 1);
  let g = diagonal[end]! - diagonal[k]! + offDiagonal[k]! / (ratio + (ratio < 0 ? -root : root));
  let [sine, cosine, moved] = [1, 1, 0];
  for (let i = end - 1; i >= k; i--) {
    const f = sine * offDiagonal[i]!;
    const b = cosine * offDiagonal[i]!;
    const length = Math.hypot(f, g);
    offDiagonal[i + 1] = length;
    if (length === 0) {
      diagonal[i + 1]! -= moved; // the block has split by itself
      offDiagonal[end] = 0;
      return;
    }
    sine = f / length;
    cosine = g / length;
    g = diagonal[i + 1]! - moved;
    const turned = (diagonal[i]! - g) * sine + 2 * cosine * b;
    moved = sine * turned;
    diagonal[i + 1] = g + moved;
    g = cosine * turned - b;
  }
  diagonal[k]! -= moved;
  offDiagonal[k] = g;
  offDiagonal[end] = 0;
}
