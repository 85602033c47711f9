/** Eigenvalues of a dense symmetric matrix in float64, on the host: as fast as memory lets one thread be. */

// Matrices are row-major Float64Arrays whose sizes are arguments.

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

/**
 * Reduces the lower triangle of `a` [n, n], which is overwritten; `offDiagonal[i]` stands between i and i + 1.
 * Step k reflects row k and leaves the leading [k, k] block changed by −(u·wᵀ + w·uᵀ). That change waits for the next
 * step, which needs the block once more for a product with its own u: so the matrix goes through memory once a step.
 */
function tridiagonalise(a: Float64Array, n: number): { diagonal: Float64Array; offDiagonal: Float64Array } {
  const diagonal = new Float64Array(n);
  const offDiagonal = new Float64Array(n);
  let [u, w, next, product] = [1, 2, 3, 4].map(() => new Float64Array(n)) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  for (let k = n - 1; k > 0; k--) {
    const row = k * n;
    for (let j = 0; j <= k; j++) next[j] = a[row + j]! - u[k]! * w[j]! - w[k]! * u[j]!;
    diagonal[k] = next[k]!;
    const { remains, h } = householder(next, k);
    offDiagonal[k - 1] = remains;
    product.fill(0, 0, k);
    changeAndMultiply({ a, n, k, u, w, v: next, product });
    if (h > 0) orthogonalise(product, next, k, h);
    [u, w, next, product] = [next, product, u, w];
  }
  if (n > 0) diagonal[0] = a[0]!; // the last reflection, of one entry, changes nothing
  return { diagonal, offDiagonal };
}

/**
 * Makes of `u` [k], a row left of its diagonal, the vector of the Householder reflection 1 − u·uᵀ/h that turns the row
 * onto its last axis, and tells h and the entry that remains. A row that lies there already needs none: u and h are 0.
 */
function householder(u: Float64Array, k: number): { remains: number; h: number } {
  const last = u[k - 1]!;
  let scale = 0;
  for (let i = 0; i < k - 1; i++) scale = Math.max(scale, Math.abs(u[i]!));
  if (scale === 0) {
    u.fill(0, 0, k);
    return { remains: last, h: 0 };
  }
  scale = Math.max(scale, Math.abs(last)); // so that squares neither overflow nor vanish
  for (let i = 0; i < k; i++) u[i]! /= scale;
  const norm = Math.sqrt(dot(u, u, k)) * (u[k - 1]! > 0 ? -1 : 1);
  const h = norm * norm - u[k - 1]! * norm;
  u[k - 1]! -= norm;
  return { remains: scale * norm, h };
}

/** From A·u to the w with which H·A·H is A − u·wᵀ − w·uᵀ: w = p − (uᵀp / 2h)·u for p = A·u / h. */
function orthogonalise(product: Float64Array, u: Float64Array, k: number, h: number): void {
  for (let i = 0; i < k; i++) product[i]! /= h;
  const half = dot(u, product, k) / (2 * h);
  for (let i = 0; i < k; i++) product[i]! -= half * u[i]!;
}

function dot(a: Float64Array, b: Float64Array, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** The leading [k, k] block of the lower triangle of `a` [n, n], and vectors of length k. */
interface Pass {
  readonly a: Float64Array;
  readonly n: number;
  readonly k: number;
  readonly u: Float64Array;
  readonly w: Float64Array;
  readonly v: Float64Array;
  readonly product: Float64Array;
}

/** Subtracts u·wᵀ + w·uᵀ from the block, and adds block times v to `product`; four rows at a time, which share the vectors' reads. */
function changeAndMultiply(pass: Pass): void {
  const { a, n, k, u, w, v, product } = pass;
  let i = 0;
  for (; i + 3 < k; i += 4) {
    const [r0, r1, r2, r3] = [i * n, (i + 1) * n, (i + 2) * n, (i + 3) * n];
    const [u0, u1, u2, u3] = [u[i]!, u[i + 1]!, u[i + 2]!, u[i + 3]!];
    const [w0, w1, w2, w3] = [w[i]!, w[i + 1]!, w[i + 2]!, w[i + 3]!];
    const [v0, v1, v2, v3] = [v[i]!, v[i + 1]!, v[i + 2]!, v[i + 3]!];
    let [s0, s1, s2, s3] = [0, 0, 0, 0];
    for (let j = 0; j < i; j++) {
      const [uj, wj, vj] = [u[j]!, w[j]!, v[j]!];
      const x0 = a[r0 + j]! - u0 * wj - w0 * uj;
      const x1 = a[r1 + j]! - u1 * wj - w1 * uj;
      const x2 = a[r2 + j]! - u2 * wj - w2 * uj;
      const x3 = a[r3 + j]! - u3 * wj - w3 * uj;
      a[r0 + j] = x0;
      a[r1 + j] = x1;
      a[r2 + j] = x2;
      a[r3 + j] = x3;
      s0 += x0 * vj;
      s1 += x1 * vj;
      s2 += x2 * vj;
      s3 += x3 * vj;
      product[j]! += x0 * v0 + x1 * v1 + x2 * v2 + x3 * v3;
    }
    product[i]! += s0;
    product[i + 1]! += s1;
    product[i + 2]! += s2;
    product[i + 3]! += s3;
    for (let row = i; row < i + 4; row++) changeRow(pass, row, i);
  }
  for (; i < k; i++) changeRow(pass, i, 0);
}

/** The same for one row from column `from` to the diagonal. */
function changeRow({ a, n, u, w, v, product }: Pass, row: number, from: number): void {
  for (let j = from; j <= row; j++) {
    const x = a[row * n + j]! - u[row]! * w[j]! - w[row]! * u[j]!;
    a[row * n + j] = x;
    product[row]! += x * v[j]!;
    if (j < row) product[j]! += x * v[row]!;
  }
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
