/** Kernel distance, the unbiased squared MMD (Gretton et al. 2012): unlike a Fréchet distance it assumes no Gaussians and has no bias. */
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { permutation } from "../../array/random.ts";
import { add, cast, exp, input, matmul, maximum, mul, sub, sum, transpose } from "../../graph/build.ts";
import { symbolicDim } from "../../graph/dim.ts";
import type { Graph } from "../../graph/graph.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { squaredDistance } from "./distances.ts";
import {
  commonWidth,
  type Features,
  JACKKNIFE_GROUPS,
  type Jackknife,
  jackknife,
  requireJackknifeRows,
  rowsAndWidth,
} from "./feature-rows.ts";
import { blocksOf, type Matrix, type MetricKernels, matrix } from "./kernels.ts";

/**
 * How alike two features are. `gaussian`: exp(−|x − y|²/2σ²) with σ the bandwidth, as CMMD (Jayasumana et al. 2024), which
 * takes σ = 10 on CLIP features and reports 1000 times the squared distance. `polynomial`: (x·y/d + 1)³, as KID (Bińkowski
 * et al. 2018).
 */
export type Kernel = { readonly kind: "gaussian"; readonly bandwidth: number } | { readonly kind: "polynomial" };

/**
 * The unbiased squared MMD between `reference` [n, d] and `generated` [m, d] (lemma 6 of Gretton et al. 2012), in float64
 * over all pairs; about 0, also below it, for two sets from one distribution.
 * @throws InputError if the dimensions differ, a set has fewer than two rows, or the bandwidth is not positive.
 */
export async function kernelDistance(
  kernels: MetricKernels,
  reference: Features,
  generated: Features,
  kernel: Kernel,
): Promise<number> {
  return squaredMmd(await sumsOf(kernels, reference, generated, kernel, 1));
}

/**
 * The same with its standard error, from one pass over all pairs.
 * @throws InputError as {@link kernelDistance}, or if there are fewer than 20 generated rows.
 */
export async function kernelDistanceJackknife(
  kernels: MetricKernels,
  reference: Features,
  generated: Features,
  kernel: Kernel,
): Promise<Jackknife> {
  requireJackknifeRows(rowsAndWidth(generated)[0]);
  const sums = await sumsOf(kernels, reference, generated, kernel, JACKKNIFE_GROUPS);
  const leftOut = Array.from({ length: JACKKNIFE_GROUPS }, (_, group) => squaredMmd(sums, group));
  return jackknife(squaredMmd(sums), leftOut);
}

/** Rows that the median is taken over. */
const MEDIAN_ROWS = 1000;

/**
 * A Gaussian kernel whose bandwidth is the median distance between `reference` features [n, d], of 1,000 rows that are the
 * same each time: sensible whatever the unit of the features. A kernel distance means nothing without its bandwidth.
 * @throws InputError if there are fewer than two rows, or half of all distances are 0.
 */
export function medianKernel(reference: Features): Extract<Kernel, { kind: "gaussian" }> {
  const [n, d] = rowsAndWidth(reference);
  requireTwoRows(n);
  const rows = permutation({ seed: 0, purpose: "kernel bandwidth", step: 0, index: 0 }, n).subarray(0, MEDIAN_ROWS);
  const squares = new Float64Array((rows.length * (rows.length - 1)) / 2);
  let pair = 0;
  for (let i = 0; i < rows.length; i++) {
    for (let j = 0; j < i; j++) {
      squares[pair++] = squaredDistance(reference.data, rows[i]! * d, reference.data, rows[j]! * d, d);
    }
  }
  squares.sort();
  const bandwidth = Math.sqrt(squares[squares.length >> 1]!);
  if (!(bandwidth > 0 && Number.isFinite(bandwidth))) {
    throw new InputError(`kernel distance: the median distance of the reference is ${bandwidth}; give a bandwidth`);
  }
  return { kind: "gaussian", bandwidth };
}

/** Sums of the kernel over pairs of different rows, by groups of generated rows (row i is in group i modulo g). */
interface PairSums {
  /** Rows of the reference, and of each group. */
  readonly n: number;
  readonly counts: readonly number[];
  readonly reference: number;
  /** [g, g] */
  readonly generated: Float64Array;
  /** [g] */
  readonly between: Float64Array;
}

function squaredMmd({ n, counts, reference, generated, between }: PairSums, without?: number): number {
  const groups = counts.length;
  let [m, own, cross] = [0, 0, 0];
  for (let g = 0; g < groups; g++) {
    if (g === without) continue;
    m += counts[g]!;
    cross += between[g]!;
    for (let h = 0; h < groups; h++) if (h !== without) own += generated[g * groups + h]!;
  }
  return reference / (n * (n - 1)) + own / (m * (m - 1)) - (2 * cross) / (n * m);
}

async function sumsOf(
  kernels: MetricKernels,
  reference: Features,
  generated: Features,
  kernel: Kernel,
  groups: number,
): Promise<PairSums> {
  commonWidth(reference, generated);
  if (kernel.kind === "gaussian" && !(kernel.bandwidth > 0 && Number.isFinite(kernel.bandwidth))) {
    throw new InputError(`kernel distance: expected a positive bandwidth, got ${kernel.bandwidth}`);
  }
  const [n, m] = [rowsAndWidth(reference)[0], rowsAndWidth(generated)[0]];
  requireTwoRows(n);
  requireTwoRows(m);
  return {
    n,
    counts: Array.from({ length: groups }, (_, g) => Math.ceil((m - g) / groups)),
    reference: (await sumWithin(kernels, reference, kernel, 1))[0]!,
    generated: await sumWithin(kernels, generated, kernel, groups),
    between: await sumBetween(kernels, generated, reference, kernel, groups),
  };
}

function requireTwoRows(n: number): void {
  if (n < 2) throw new InputError(`kernel distance: expected at least 2 rows of features on each side, got ${n}`);
}

const BLOCK = 2048;

/** Sums [g, g] over pairs of different rows of x; a pair of blocks is visited once and counts for both orders. */
async function sumWithin(kernels: MetricKernels, x: Features, kernel: Kernel, groups: number): Promise<Float64Array> {
  const sums = new Float64Array(groups * groups);
  const blocks = blocksOf(x.shape[0]!, BLOCK);
  for (const [at, a] of blocks.entries()) {
    for (const b of blocks.slice(at)) {
      const rows = await rowSums(kernels, x.rows(a.start, a.end), x.rows(b.start, b.end), kernel, b.start, groups);
      for (let i = a.start; i < a.end; i++) {
        for (let h = 0; h < groups; h++) {
          const value = rows[(i - a.start) * groups + h]!;
          sums[(i % groups) * groups + h]! += value;
          if (a !== b) sums[h * groups + (i % groups)]! += value;
        }
      }
    }
  }
  const d = x.shape[1]!;
  for (let i = 0; i < x.shape[0]!; i++) sums[(i % groups) * (groups + 1)]! -= withItself(kernel, x.data, i * d, d);
  return sums;
}

/** Sums [g] over pairs of a row of x, of a group, and a row of y. */
async function sumBetween(
  kernels: MetricKernels,
  x: Features,
  y: Features,
  kernel: Kernel,
  groups: number,
): Promise<Float64Array> {
  const sums = new Float64Array(groups);
  for (const a of blocksOf(x.shape[0]!, BLOCK)) {
    for (const b of blocksOf(y.shape[0]!, BLOCK)) {
      const rows = await rowSums(kernels, x.rows(a.start, a.end), y.rows(b.start, b.end), kernel, b.start, 1);
      for (let i = a.start; i < a.end; i++) sums[i % groups]! += rows[i - a.start]!;
    }
  }
  return sums;
}

/** The kernel of a row with itself. */
function withItself({ kind }: Kernel, data: Float32Array, start: number, d: number): number {
  if (kind === "gaussian") return 1;
  let square = 0;
  for (let k = start; k < start + d; k++) square += data[k]! * data[k]!;
  return (square / d + 1) ** 3;
}

/** For each row of `a` the kernel summed over each group of the rows of `b`, which start at row `first` of their set: [A, g]. */
async function rowSums(
  kernels: MetricKernels,
  a: Features,
  b: Features,
  kernel: Kernel,
  first: number,
  groups: number,
): Promise<Float64Array> {
  const rows = b.shape[0]!;
  const members = matrix(new Float64Array(rows * groups), rows, groups);
  for (let i = 0; i < rows; i++) members.data[i * groups + ((first + i) % groups)] = 1;
  const factor = kernel.kind === "gaussian" ? -1 / (2 * kernel.bandwidth ** 2) : 1 / a.shape[1]!;
  const feeds = { a, b, members, factor: new NDArray("float64", [1, 1], Float64Array.of(factor)) };
  const { sums } = await kernels.run(`${kernel.kind} kernel`, () => kernelGraph(kernel.kind), feeds);
  return (sums as Matrix).data;
}

/** a [A, d], b [B, d] float32, members [B, g], factor [1, 1] → sums [A, g]. */
function kernelGraph(kind: Kernel["kind"]): Graph {
  const [rowsA, rowsB, d, groups] = ["A", "B", "d", "g"].map((name) => symbolicDim(name));
  const a = cast(input("a", [rowsA!, d!]), "float64");
  const b = cast(input("b", [rowsB!, d!]), "float64");
  const members = input("members", [rowsB!, groups!], "float64");
  const factor = input("factor", [1, 1], "float64");
  const dots = matmul(a, b, { transposeB: true });
  const alike = kind === "gaussian" ? exp(mul(squares(a, b, dots), factor)) : cube(add(mul(dots, factor), 1));
  return { outputs: { sums: matmul(alike, members) } };
}

const cube = (x: Tensor): Tensor => mul(x, mul(x, x));

/** |a|² + |b|² − 2 a·b [A, B], not below 0. */
function squares(a: Tensor, b: Tensor, dots: Tensor): Tensor {
  const norm = (x: Tensor) => sum(mul(x, x), [1], true);
  return maximum(sub(add(norm(a), transpose(norm(b), [1, 0])), mul(dots, 2)), 0);
}
