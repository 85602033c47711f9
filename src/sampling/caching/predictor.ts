/**
 * Branch outputs predicted from several earlier ones, with weights for each model evaluation that least squares fits on a few
 * images (as L2P does, arXiv 2604.26365); reuse is the case of one output with weight 1. N rows.
 */
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import type { BranchProducts } from "../sampling-settings.ts";
import { type BranchKind, byKind } from "./cached-blocks.ts";

/** Model evaluations back to which outputs are compared. */
export const OLDEST = 5;

/** Pairs of ages (a, b), b ≤ a, at evaluation i. */
function pairsAt(i: number): [number, number][] {
  const ages = Array.from({ length: Math.min(OLDEST, i) + 1 }, (_, age) => age);
  return ages.flatMap((a) => ages.slice(0, a + 1).map((b): [number, number] => [a, b]));
}

export const pairCount = (i: number): number => pairsAt(i).length;

const place = (a: number, b: number): number => (Math.max(a, b) * (Math.max(a, b) + 1)) / 2 + Math.min(a, b);

const DIGITS = 8;

/** Mean inner products of branch outputs with earlier ones, gathered evaluation by evaluation. */
export class ProductMeter {
  readonly #kinds: ReadonlyMap<string, BranchKind>;
  readonly #evaluations: number;
  readonly #sums = new Map<string, { sums: number[]; rows: number }>();

  /** `kinds` by the names of branches. */
  constructor(kinds: ReadonlyMap<string, BranchKind>, evaluations: number) {
    this.#kinds = kinds;
    this.#evaluations = evaluations;
  }

  /** Adds evaluation i, its outputs first and those before it behind; of each `batch` rows those from `rows` on are padding. */
  add(i: number, outputs: readonly Readonly<Record<string, NDArray>>[], batch: number, rows: number): void {
    const pairs = pairsAt(i);
    for (const [name, kind] of this.#kinds) {
      const key = `${kind} ${i}`;
      const found = this.#sums.get(key) ?? { sums: pairs.map(() => 0), rows: 0 };
      const arrays = outputs.map((one) => one[name]!);
      const [now] = arrays;
      const size = now!.size / now!.shape[0]!;
      for (let row = 0; row < now!.shape[0]!; row++) {
        if (row % batch >= rows) continue;
        const parts = arrays.map(({ data }) => (data as Float32Array).subarray(row * size, (row + 1) * size));
        const norm = dot(parts[0]!, parts[0]!);
        if (!Number.isFinite(norm)) throw new InputError(`caching: ${name} is not finite at evaluation ${i}`);
        if (norm === 0) continue;
        pairs.forEach(([a, b], k) => {
          found.sums[k]! += dot(parts[a]!, parts[b]!) / norm;
        });
        found.rows++;
      }
      this.#sums.set(key, found);
    }
  }

  /** Rounded, so that the last bits of another machine change no schedule. */
  products(): BranchProducts {
    const present = new Set(this.#kinds.values());
    return byKind((kind) =>
      Array.from({ length: present.has(kind) ? this.#evaluations : 0 }, (_, i) => {
        const { sums, rows } = this.#sums.get(`${kind} ${i}`)!;
        return sums.map((sum) => Number((sum / Math.max(1, rows)).toPrecision(DIGITS)));
      }),
    );
  }
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Keeps the weights of outputs that are nearly the same finite. */
const RIDGE = 1e-6;

/** Weights w of the outputs of these ages, and √ mean ‖Δ − Σ w Δ_age‖² / ‖Δ‖². */
export function fitWeights(products: readonly number[], ages: readonly number[]): { weights: number[]; error: number } {
  const rows = ages.map((a, k) =>
    [...ages.map((b) => products[place(a, b)]!), products[place(a, 0)]!].map((x, j) => (j === k ? x * (1 + RIDGE) : x)),
  );
  for (let k = 0; k < rows.length; k++) {
    for (let j = 0; j < rows.length; j++) {
      if (j === k) continue;
      const factor = rows[j]![k]! / rows[k]![k]!;
      rows[j] = rows[j]!.map((x, c) => x - factor * rows[k]![c]!);
    }
  }
  const weights = rows.map((row, k) => row.at(-1)! / row[k]!);
  const explained = ages.reduce((sum, a, k) => sum + weights[k]! * products[place(a, 0)]!, 0);
  return { weights, error: Math.sqrt(Math.max(0, products[0]! - explained)) };
}
