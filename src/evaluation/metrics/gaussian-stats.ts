/** Gaussians fitted to features: mean and covariance, taken in as features come, also of all rows but a tenth. */
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { cast, input, matmul, slice, sub, sum } from "../../graph/build.ts";
import { symbolicDim } from "../../graph/dim.ts";
import type { Graph } from "../../graph/graph.ts";
import { type Features, rowsAndWidth } from "./feature-rows.ts";
import type { Matrix, MetricKernels } from "./kernels.ts";

/** A Gaussian of dimension d. */
export interface Gaussian {
  /** [d] */
  readonly mean: Float64Array;
  /** [d, d] */
  readonly covariance: Float64Array;
}

/** A Gaussian fitted to `count` features; the covariance is unbiased (divided by count − 1). */
export interface GaussianStats extends Gaussian {
  readonly count: number;
}

/** What was fitted: to all rows, and to all rows but those whose index modulo `groups` is `group`. */
export interface GroupedStats {
  readonly groups: number;
  readonly all: GaussianStats;
  without(group: number): GaussianStats;
}

/** Rows of a group that are multiplied at once: enough to keep two cores at work. */
const ROWS = 1024;
/** Columns of a panel of the Gram matrix; only panels up to the diagonal are computed. */
const PANEL = 256;

/** Sums of rows y = x − shift: their number, Σ y [d], and the lower triangle of Σ y yᵀ [d, d]. */
interface Moments {
  count: number;
  readonly sum: Float64Array;
  readonly gram: Float64Array;
}

/**
 * Takes in features [n, d] in parts of any size, and gives the same bits for any parts: rows are collected in blocks of a
 * fixed size. All is float64. Rows are summed less a shift, the mean of the first block, so that a large mean costs no
 * digits: where that is δ off the mean of all n rows, the first block's B rows alone hold B·δ² of the squares about the
 * mean, and the n·δ² that (G − s·sᵀ/n) takes away again are at most n/B, the number of blocks, times as much.
 */
export class GaussianAccumulator {
  readonly #kernels: MetricKernels;
  readonly #d: number;
  readonly #groups: number;
  readonly #buffer: Float32Array; // [groups, ROWS, d]
  readonly #moments: Moments[];
  #buffered = 0;
  #shift: Float64Array | undefined;
  #finished = false;

  /** Sums are kept for `groups` groups apart (row i belongs to group i modulo `groups`), each as large as a covariance. */
  constructor(kernels: MetricKernels, dimension: number, groups = 1) {
    this.#kernels = kernels;
    this.#d = dimension;
    this.#groups = groups;
    this.#buffer = new Float32Array(groups * ROWS * dimension);
    this.#moments = Array.from({ length: groups }, () => ({
      count: 0,
      sum: new Float64Array(dimension),
      gram: new Float64Array(dimension * dimension),
    }));
  }

  /** One call must end before the next. @throws InputError for rows of another width, or a feature that is not finite. */
  async add(features: Features): Promise<void> {
    const [n, d] = rowsAndWidth(features);
    if (this.#finished) throw new RangeError("GaussianAccumulator: rows were added after finish()");
    if (d !== this.#d) throw new InputError(`features of dimension ${this.#d} cannot be joined by ${d}`);
    for (let i = 0; i < n; i++) {
      const place = (this.#buffered % this.#groups) * ROWS + Math.floor(this.#buffered / this.#groups);
      this.#buffer.set(features.data.subarray(i * d, (i + 1) * d), place * d);
      this.#buffered++;
      if (this.#buffered === this.#groups * ROWS) await this.#sumUp();
    }
  }

  /** Ends the sums. @throws InputError if there are fewer than two rows, or a feature is not finite. */
  async finish(): Promise<GroupedStats> {
    if (this.#buffered > 0) await this.#sumUp();
    this.#finished = true;
    const total = combined(this.#moments);
    if (total.count < 2) throw new InputError(`a covariance needs at least 2 rows of features, got ${total.count}`);
    return {
      groups: this.#groups,
      all: statsOf(total, this.#shift!),
      // Nine tenths of each sum remain, so the difference is as accurate as the sums; diagonal sums have no signs to cancel.
      without: (group) => statsOf(less(total, this.#moments[group]!), this.#shift!),
    };
  }

  async #sumUp(): Promise<void> {
    const [d, groups] = [this.#d, this.#groups];
    const rowsOfGroup = (group: number) => Math.ceil((this.#buffered - group) / groups);
    this.#shift ??= meanOf(
      this.#buffer,
      d,
      Array.from({ length: groups }, (_, g) => [g * ROWS, rowsOfGroup(g)]),
    );
    const shift = new NDArray("float64", [d], this.#shift);
    for (const [group, moments] of this.#moments.entries()) {
      const rows = rowsOfGroup(group);
      if (rows <= 0) continue;
      const data = this.#buffer.subarray(group * ROWS * d, (group * ROWS + rows) * d);
      const x = new NDArray("float32", [rows, d], data);
      const found = await this.#kernels.run(`gram ${d}`, () => gramGraph(d), { x, shift });
      addTo(moments.sum, found.sum!.data as Float64Array);
      const wrong = moments.sum.findIndex((value) => !Number.isFinite(value));
      if (wrong >= 0) throw new InputError(`feature ${wrong} of ${d} is not finite in some row`);
      for (const [p, start] of panelStarts(d).entries()) addPanel(moments.gram, found[`panel${p}`] as Matrix, start, d);
      moments.count += rows;
    }
    this.#buffered = 0;
  }
}

/**
 * Mean and unbiased covariance of `features` [n, d].
 * @throws InputError if there are fewer than two rows or a feature is not finite.
 */
export async function gaussianStats(kernels: MetricKernels, features: Features): Promise<GaussianStats> {
  return (await groupedStats(kernels, features, 1)).all;
}

/** The same, also without each of `groups` groups of rows. @throws InputError as {@link gaussianStats}. */
export async function groupedStats(kernels: MetricKernels, features: Features, groups: number): Promise<GroupedStats> {
  const accumulator = new GaussianAccumulator(kernels, rowsAndWidth(features)[1], groups);
  await accumulator.add(features);
  return accumulator.finish();
}

const panelStarts = (d: number): number[] => Array.from({ length: Math.ceil(d / PANEL) }, (_, p) => p * PANEL);

/** x [n, d] float32, shift [d] → Σ y [d], and for each panel of columns the rows of Σ y yᵀ up to its last column. */
function gramGraph(d: number): Graph {
  const x = input("x", [symbolicDim("n"), d]);
  const y = sub(cast(x, "float64"), input("shift", [d], "float64"));
  const panels = panelStarts(d).map((start, p) => {
    const end = Math.min(start + PANEL, d);
    return [`panel${p}`, matmul(slice(y, 1, start, end), slice(y, 1, 0, end), { transposeA: true })] as const;
  });
  return { outputs: { sum: sum(y, [0]), ...Object.fromEntries(panels) } };
}

function addTo(target: Float64Array, values: Float64Array): void {
  for (let i = 0; i < target.length; i++) target[i]! += values[i]!;
}

/** Adds a panel [rows, width] to the rows of `gram` [d, d] from `start` on. */
function addPanel(gram: Float64Array, { data, shape }: Matrix, start: number, d: number): void {
  const [rows, width] = shape as readonly number[] as readonly [number, number];
  for (let i = 0; i < rows; i++) {
    addTo(gram.subarray((start + i) * d, (start + i) * d + width), data.subarray(i * width, (i + 1) * width));
  }
}

/** Mean over rows of `data` [rows, d], given as [first, count]. */
function meanOf(data: Float32Array, d: number, parts: readonly (readonly number[])[]): Float64Array {
  const mean = new Float64Array(d);
  let count = 0;
  for (const [first, rows] of parts as readonly (readonly [number, number])[]) {
    for (let i = first; i < first + rows; i++) for (let j = 0; j < d; j++) mean[j]! += data[i * d + j]!;
    count += Math.max(rows, 0);
  }
  return mean.map((total) => total / count);
}

function combined(parts: readonly Moments[]): Moments {
  if (parts.length === 1) return parts[0]!;
  const [first, ...others] = parts;
  const total = { count: first!.count, sum: first!.sum.slice(), gram: first!.gram.slice() };
  for (const { count, sum, gram } of others) {
    total.count += count;
    addTo(total.sum, sum);
    addTo(total.gram, gram);
  }
  return total;
}

function less(total: Moments, part: Moments): Moments {
  return {
    count: total.count - part.count,
    sum: total.sum.map((value, i) => value - part.sum[i]!),
    gram: total.gram.map((value, i) => value - part.gram[i]!),
  };
}

function statsOf({ count, sum, gram }: Moments, shift: Float64Array): GaussianStats {
  const d = sum.length;
  const covariance = new Float64Array(d * d);
  for (let i = 0; i < d; i++) {
    for (let j = 0; j <= i; j++) {
      const value = (gram[i * d + j]! - (sum[i]! * sum[j]!) / count) / (count - 1);
      covariance[i * d + j] = value;
      covariance[j * d + i] = value;
    }
  }
  return { mean: shift.map((value, i) => value + sum[i]! / count), covariance, count };
}
