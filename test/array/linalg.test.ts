import { describe, expect, test } from "vitest";
import { symmetricEigenvalues } from "../../src/array/linalg.ts";

/** Numbers in [−1, 1) that are the same in every run. */
function scattered(length: number, seed = 1): Float64Array {
  let state = seed;
  return Float64Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** The product of two [n, n] matrices. */
function matmul(a: Float64Array, b: Float64Array, n: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, at) => {
    let sum = 0;
    for (let p = 0; p < n; p++) sum += a[Math.floor(at / n) * n + p]! * b[p * n + (at % n)]!;
    return sum;
  });
}

function largestDifference(a: Float64Array, b: Float64Array): number {
  expect(a).toHaveLength(b.length);
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}

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

  test.each([5, 6, 7, 33, 100])("of a full matrix of size %i have its trace and its squared norm", (n) => {
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
    const matrix = matmul(scaled, reflection, n);
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
