/** How much the branches of a model change from one evaluation to the next ones. N rows, B images. */
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import { type BranchKind, branchKinds } from "./cached-blocks.ts";

/** A delta is reused for at most so many evaluations. */
export const MAX_AGE = 3;

/** A ratio to a delta that is zero counts as this. */
const LARGEST = 1e6;
const DIGITS = 6;

/**
 * `errors[i][k − 1]` is the mean over blocks and images of ‖Δ_i − Δ_{i+k}‖₁ / ‖Δ_i‖₁, for k ≤ {@link MAX_AGE} evaluations
 * (as SmoothCache measures them, Liu et al. 2024, arXiv 2411.10510).
 */
export type Errors = Readonly<Record<BranchKind, readonly (readonly number[])[]>>;

/** Curves of a model, and what they belong to. */
export interface CacheCurves {
  readonly measured: {
    /** Images they are the mean of. */
    readonly images: number;
    readonly evaluations: number;
    /** Branches of each kind. */
    readonly branches: Readonly<Record<BranchKind, number>>;
    /** The process, and the sampler with its settings. */
    readonly process: unknown;
    readonly settings: unknown;
  };
  readonly errors: Errors;
}

/** The kind of a delta by its name. */
export type Kinds = ReadonlyMap<string, BranchKind>;

/** Values by the names of deltas, each [N, …]: rows of B images, or of B images with their labels and B without. */
export type BranchArrays = Readonly<Record<string, NDArray>>;

/** Evaluations later than i, up to {@link MAX_AGE}. */
export const agesAt = (i: number, evaluations: number): number => Math.min(MAX_AGE, evaluations - 1 - i);

/** Means of relative differences, gathered pair by pair. */
export class CurveMeter {
  readonly #kinds: Kinds;
  readonly #evaluations: number;
  readonly #sums = new Map<string, { sum: number; count: number }>();

  constructor(kinds: Kinds, evaluations: number) {
    this.#kinds = kinds;
    this.#evaluations = evaluations;
  }

  /**
   * Compares evaluation i with the one `age` later; images from `rows` on are padding.
   * @throws InputError for numbers that are not finite.
   */
  compare(
    i: number,
    age: number,
    [from, to]: readonly [BranchArrays, BranchArrays],
    batch: number,
    rows: number,
  ): void {
    for (const [name, kind] of this.#kinds) {
      const ratios = rowRatios(from[name]!, to[name]!).filter((_, row) => row % batch < rows);
      const total = ratios.reduce((sum, ratio) => sum + ratio, 0);
      if (!Number.isFinite(total)) {
        throw new InputError(
          `caching: ${name} is not finite at evaluation ${i} or ${i + age}; sample without --cache to see what the model draws`,
        );
      }
      const key = `${kind} ${i} ${age}`;
      const { sum, count } = this.#sums.get(key) ?? { sum: 0, count: 0 };
      this.#sums.set(key, { sum: sum + total, count: count + ratios.length });
    }
  }

  /** Rounded, so that the last bits of another machine change no schedule. */
  errors(): Errors {
    const mean = (kind: BranchKind, i: number, age: number): number => {
      const { sum, count } = this.#sums.get(`${kind} ${i} ${age}`)!;
      return Number((sum / count).toPrecision(DIGITS));
    };
    const present = new Set(this.#kinds.values());
    const curve = (kind: BranchKind) =>
      Array.from({ length: present.has(kind) ? this.#evaluations : 0 }, (_, i) =>
        Array.from({ length: agesAt(i, this.#evaluations) }, (_age, k) => mean(kind, i, k + 1)),
      );
    return Object.fromEntries(branchKinds.map((kind) => [kind, curve(kind)])) as Record<BranchKind, number[][]>;
  }
}

/** ‖a − b‖₁ / ‖a‖₁ of each row. */
function rowRatios(a: NDArray, b: NDArray): number[] {
  const rows = a.shape[0]!;
  const size = a.size / rows;
  const [x, y] = [a.data as Float32Array, b.data as Float32Array];
  return Array.from({ length: rows }, (_, row) => {
    let [difference, norm] = [0, 0];
    for (let j = row * size; j < (row + 1) * size; j++) {
      norm += Math.abs(x[j]!);
      difference += Math.abs(x[j]! - y[j]!);
    }
    if (difference === 0) return 0;
    return norm === 0 ? LARGEST : difference / norm;
  });
}
