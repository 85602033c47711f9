/** Small graphs of metrics, compiled at first use and kept until all metrics are computed; products and factors of matrices. */
import { NDArray } from "../../array/ndarray.ts";
import { type Engine, type NamedArrays, type Program, runAndRead } from "../../engine/engine.ts";
import { input, matmul } from "../../graph/build.ts";
import { symbolicDim } from "../../graph/dim.ts";
import type { Graph } from "../../graph/graph.ts";

/** Graphs that run again and again, on blocks of features. */
export interface MetricKernels {
  /** Runs the graph called `name`; `build` makes it at first use. */
  run(name: string, build: () => Graph, feeds: NamedArrays): Promise<Record<string, NDArray>>;
  release(): Promise<void>;
}

/** Kernels of an engine. Most of them compute in float64, which a GPU provider leaves to the CPU. */
export function openMetricKernels(engine: Engine): MetricKernels {
  const programs = new Map<string, Promise<Program>>();
  return {
    async run(name, build, feeds) {
      const program = programs.get(name) ?? engine.compile(build());
      programs.set(name, program);
      return runAndRead(await program, feeds);
    },
    async release() {
      const opened = await Promise.allSettled(programs.values());
      programs.clear();
      for (const result of opened) if (result.status === "fulfilled") await result.value.release();
    },
  };
}

/** Runs `use` with kernels that are released afterwards, also if it fails. */
export async function withMetricKernels<T>(engine: Engine, use: (kernels: MetricKernels) => Promise<T>): Promise<T> {
  const kernels = openMetricKernels(engine);
  try {
    return await use(kernels);
  } finally {
    await kernels.release();
  }
}

/** A row-major float64 matrix. */
export type Matrix = NDArray<"float64">;

export const matrix = (data: Float64Array, rows: number, columns: number): Matrix =>
  new NDArray("float64", [rows, columns], data);

/** The product op(a) op(b) of float64 matrices, where op may transpose. */
export async function product(
  kernels: MetricKernels,
  a: Matrix,
  b: Matrix,
  flags: { readonly transposeA?: boolean; readonly transposeB?: boolean } = {},
): Promise<Matrix> {
  const { transposeA = false, transposeB = false } = flags;
  const build = (): Graph => {
    const [m, inner, n] = ["m", "inner", "n"].map((name) => symbolicDim(name));
    const left = input("a", transposeA ? [inner!, m!] : [m!, inner!], "float64");
    const right = input("b", transposeB ? [n!, inner!] : [inner!, n!], "float64");
    return { outputs: { y: matmul(left, right, { transposeA, transposeB }) } };
  };
  return (await kernels.run(`product ${transposeA} ${transposeB}`, build, { a, b })).y as Matrix;
}

/** [start, end) of consecutive blocks of about equal size, at most `largest`; from 3 on, none has one row unless `n` is 1. */
export function blocksOf(n: number, largest: number): { readonly start: number; readonly end: number }[] {
  const count = Math.ceil(n / largest);
  return Array.from({ length: count }, (_, i) => ({
    start: Math.floor((i * n) / count),
    end: Math.floor(((i + 1) * n) / count),
  }));
}

/** Columns that the host factors at once. */
const PANEL = 64;

/**
 * The factor L [n, rank] with L·Lᵀ = `covariance` [n, n], symmetric and positive semi-definite, of which the lower
 * triangle is read. A pivot at or below n · 2.2e-16 · the largest diagonal entry counts as zero: in a semi-definite matrix
 * the rest of its column is zero too, so the column is left out and the factor has as many columns as the rank
 * (Golub & Van Loan, "Matrix Computations", 4.2.8, without pivoting; here left-looking by panels).
 */
export async function semidefiniteFactor(kernels: MetricKernels, covariance: Float64Array, n: number): Promise<Matrix> {
  const tolerance = n * Number.EPSILON * largestDiagonal(covariance, n);
  const wide = matrix(new Float64Array(n * n), n, n);
  let rank = 0;
  for (let start = 0; start < n; start += PANEL) {
    const end = Math.min(start + PANEL, n);
    const rest = panelOf(covariance, n, start, end);
    if (rank > 0) {
      // Columns from `rank` on are still zero, so whole rows may be multiplied and nothing need be copied.
      const known = await product(kernels, wide.rows(start, n), wide.rows(start, end), { transposeB: true });
      for (let i = 0; i < rest.length; i++) rest[i]! -= known.data[i]!;
    }
    rank = factorPanel({ rest, width: end - start, factor: wide.data, n, start, tolerance }, rank);
  }
  const factor = new Float64Array(n * rank);
  for (let i = 0; i < n; i++) factor.set(wide.data.subarray(i * n, i * n + rank), i * rank);
  return new NDArray("float64", [n, rank], factor);
}

function largestDiagonal(covariance: Float64Array, n: number): number {
  let largest = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, covariance[i * n + i]!);
  return largest;
}

/** Columns [start, end) of the rows from `start` on. */
function panelOf(covariance: Float64Array, n: number, start: number, end: number): Float64Array {
  const width = end - start;
  const panel = new Float64Array((n - start) * width);
  for (let i = start; i < n; i++) {
    panel.set(covariance.subarray(i * n + start, i * n + end), (i - start) * width);
  }
  return panel;
}

interface Panel {
  /** [n − start, width]: what is left of the matrix when the columns before the panel are accounted for */
  readonly rest: Float64Array;
  readonly width: number;
  /** [n, n], filled up to a column for each pivot */
  readonly factor: Float64Array;
  readonly n: number;
  readonly start: number;
  readonly tolerance: number;
}

/** Adds the columns of a panel to the factor, of which `first` are known; returns how many are known then. */
function factorPanel({ rest, width, factor, n, start, tolerance }: Panel, first: number): number {
  let rank = first;
  for (let j = 0; j < width; j++) {
    const row = (start + j) * n;
    const pivot = rest[j * width + j]! - dot(factor, row, row, first, rank);
    if (!(pivot > tolerance)) continue;
    const root = Math.sqrt(pivot);
    factor[row + rank] = root;
    for (let i = start + j + 1; i < n; i++) {
      const entry = rest[(i - start) * width + j]! - dot(factor, i * n, row, first, rank);
      factor[i * n + rank] = entry / root;
    }
    rank++;
  }
  return rank;
}

/** The product of two rows, at `a` and at `b`, over columns [first, end). */
function dot(factor: Float64Array, a: number, b: number, first: number, end: number): number {
  let total = 0;
  for (let k = first; k < end; k++) total += factor[a + k]! * factor[b + k]!;
  return total;
}
