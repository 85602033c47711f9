import { describe, expect, test } from "vitest";
import {
  addGram,
  choleskySemidefinite,
  matmul,
  mirrorLower,
  symmetricEigenvalues,
  transpose,
} from "../../src/array/linalg.ts";

/** Numbers in [−1, 1) that are the same in every run. */
function scattered(length: number, seed = 1): Float64Array {
  let state = seed;
  return Float64Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** xᵀx of scattered `x` [rows, n]: of rank min(rows, n) */
function gram(rows: number, n: number): Float64Array {
  const product = new Float64Array(n * n);
  addGram(product, scattered(rows * n, rows + n), rows, n);
  mirrorLower(product, n);
  return product;
}

function largestDifference(a: Float64Array, b: Float64Array): number {
  expect(a).toHaveLength(b.length);
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}

describe("matmul", () => {
  test("multiplies rows by columns", () => {
    const a = Float64Array.of(1, 2, 3, 4, 5, 6);
    const b = Float64Array.of(7, 8, 9, 10, 11, 12);
    expect(matmul(a, b, 2, 3, 2)).toEqual(Float64Array.of(58, 64, 139, 154));
  });

  test.each([
    [1, 1, 1],
    [3, 4, 5],
    [7, 9, 2],
    [2, 0, 3],
  ])("agrees with the sum over the inner axis at [%i, %i, %i]", (rows, inner, columns) => {
    const [a, b] = [scattered(rows * inner), scattered(inner * columns, 2)];
    const expected = Float64Array.from({ length: rows * columns }, (_, at) => {
      const [i, j] = [Math.floor(at / columns), at % columns];
      let sum = 0;
      for (let p = 0; p < inner; p++) sum += a[i * inner + p]! * b[p * columns + j]!;
      return sum;
    });
    expect(largestDifference(matmul(a, b, rows, inner, columns), expected)).toBeLessThan(1e-14);
  });

  test("of the transpose is what addGram accumulates", () => {
    const [x, y] = [scattered(6 * 5), scattered(3 * 5, 9)];
    const accumulated = new Float64Array(25);
    addGram(accumulated, x, 6, 5);
    addGram(accumulated, y, 3, 5);
    mirrorLower(accumulated, 5);
    const both = Float64Array.of(...x, ...y);
    expect(largestDifference(accumulated, matmul(transpose(both, 9, 5), both, 5, 9, 5))).toBeLessThan(1e-14);
  });
});

describe("choleskySemidefinite", () => {
  test("multiplies back to a definite matrix", () => {
    const a = gram(30, 12);
    const { factor, rank } = choleskySemidefinite(a, 12);
    expect(rank).toBe(12);
    expect(largestDifference(matmul(factor, transpose(factor, 12, rank), 12, rank, 12), a)).toBeLessThan(1e-13);
  });

  test("leaves out zero pivots and still multiplies back", () => {
    const a = gram(4, 12);
    const { factor, rank } = choleskySemidefinite(a, 12);
    expect(rank).toBe(4);
    expect(factor).toHaveLength(12 * 4);
    expect(largestDifference(matmul(factor, transpose(factor, 12, 4), 12, 4, 12), a)).toBeLessThan(1e-13);
  });

  test("has rank 0 for the zero matrix", () => {
    expect(choleskySemidefinite(new Float64Array(9), 3)).toEqual({ factor: new Float64Array(0), rank: 0 });
  });
});

describe("symmetricEigenvalues", () => {
  test("of [[2, 1], [1, 2]] are 1 and 3, from the lower triangle alone", () => {
    const [low, high] = symmetricEigenvalues(Float64Array.of(2, Number.NaN, 1, 2), 2);
    expect(low).toBeCloseTo(1, 14);
    expect(high).toBeCloseTo(3, 14);
  });

  test("of a diagonal matrix are its entries, sorted, and the matrix is left alone", () => {
    const matrix = Float64Array.of(3, 0, 0, 0, -1, 0, 0, 0, 2);
    expect(symmetricEigenvalues(matrix, 3)).toEqual(Float64Array.of(-1, 2, 3));
    expect(matrix[0]).toBe(3);
  });

  test("of the second-difference matrix are 2 − 2 cos(kπ/(n + 1))", () => {
    const n = 40;
    const matrix = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      matrix[i * n + i] = 2;
      if (i > 0) matrix[i * n + i - 1] = -1;
    }
    const expected = Float64Array.from({ length: n }, (_, k) => 2 - 2 * Math.cos(((k + 1) * Math.PI) / (n + 1)));
    expect(largestDifference(symmetricEigenvalues(matrix, n), expected)).toBeLessThan(1e-13);
  });

  test.each([5, 33, 100])("of a full matrix of size %i have its trace and its squared norm", (n) => {
    const matrix = scattered(n * n);
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) matrix[j * n + i] = matrix[i * n + j]!;
    const values = symmetricEigenvalues(matrix, n);
    const trace = Array.from({ length: n }, (_, i) => matrix[i * n + i]!).reduce((a, b) => a + b);
    expect(values.reduce((a, b) => a + b)).toBeCloseTo(trace, 11);
    expect(values.reduce((a, b) => a + b * b, 0)).toBeCloseTo(
      matrix.reduce((a, b) => a + b * b, 0),
      9,
    );
    expect(values).toEqual(values.toSorted());
  });

  test("keep tiny, huge and repeated eigenvalues of a rotated matrix apart", () => {
    const n = 6;
    const known = Float64Array.of(1e-6, 1, 1, 1, 5, 1e3);
    const u = scattered(n, 3);
    const squared = u.reduce((sum, x) => sum + x * x, 0);
    const reflection = Float64Array.from({ length: n * n }, (_, at) => {
      const [i, j] = [Math.floor(at / n), at % n];
      return (i === j ? 1 : 0) - (2 * u[i]! * u[j]!) / squared;
    });
    const scaled = reflection.map((value, at) => value * known[at % n]!);
    const matrix = matmul(scaled, reflection, n, n, n);
    expect(largestDifference(symmetricEigenvalues(matrix, n), known)).toBeLessThan(1e-12);
  });

  test("exist for empty and one-by-one matrices", () => {
    expect(symmetricEigenvalues(new Float64Array(0), 0)).toHaveLength(0);
    expect(symmetricEigenvalues(Float64Array.of(-7), 1)).toEqual(Float64Array.of(-7));
  });

  test("are refused for a matrix that is not finite", () => {
    expect(() => symmetricEigenvalues(Float64Array.of(1, 0, Number.NaN, 1), 2)).toThrow(RangeError);
  });
});
