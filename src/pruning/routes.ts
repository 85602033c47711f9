/** Which rows of a batch each block runs on, and which dropped rows are probed for the gates' sake. */
import { int32, type NDArray } from "../array/ndarray.ts";
import { uniforms } from "../array/random.ts";
import type { NamedArrays } from "../engine/engine.ts";
import { type GateGroup, gateSensitivity, type MaskDraw, type Temperature } from "./gates.ts";

/** Feeds of a routed graph, and how its gradients become ∂L/∂mask. */
export interface RoutePlan {
  readonly feeds: NamedArrays;
  /** For each block the rows kept and probed, and the factor 1 / q of each probe. */
  readonly kept: readonly Int32Array[];
  readonly probes: readonly Int32Array[];
  readonly factors: readonly Float64Array[];
}

/** Probability that a dropped row runs forward: [N][depth]; unused entries belong to kept rows. */
export type ProbeProbabilities = readonly Float64Array[];

/** Rows whose weight is below this share of the batch's largest are never probed. */
const NEGLIGIBLE = 1e-4;

/**
 * The probability of probing each dropped row: proportional to how much it moves the gates, capped at 1, with mean
 * `share` over all dropped rows. A share of 1 probes all but negligible rows.
 */
export function probeProbabilities(
  groups: readonly GateGroup[],
  draws: readonly MaskDraw[],
  temperature: Temperature,
  share: number,
): ProbeProbabilities {
  const weights = draws.map((draw) => gateSensitivity(groups, draw, temperature));
  const dropped = draws.flatMap(({ mask }, n) => Array.from(weights[n]!).filter((_, i) => mask[i] === 0));
  const largest = dropped.reduce((a, b) => Math.max(a, b), 0);
  if (share >= 1) return weights.map((row) => row.map((w) => (w > NEGLIGIBLE * largest ? 1 : 0)));
  const factor = factorForMean(dropped, share);
  return weights.map((row) => row.map((w) => Math.min(1, factor * w)));
}

/** c such that the mean of min(1, c · w) is `mean`, or the largest mean that is possible. */
function factorForMean(weights: readonly number[], mean: number): number {
  const sorted = weights.filter((w) => w > 0).sort((a, b) => b - a);
  const wanted = Math.min(mean * weights.length, sorted.length);
  let rest = sorted.reduce((a, b) => a + b, 0);
  for (const [capped, w] of sorted.entries()) {
    // With the `capped` largest at 1, the others share what is left.
    const factor = (wanted - capped) / rest;
    if (factor * w <= 1) return factor;
    rest -= w;
  }
  return sorted.length > 0 ? 1 / sorted.at(-1)! : 0;
}

/** Where the coin of row n and block i comes from. */
export interface ProbeKey {
  readonly seed: number;
  readonly step: number;
  /** Example number of the first row in its global batch. */
  readonly first: number;
}

/** The routes of one micro-batch. */
export function planRoutes(draws: readonly MaskDraw[], probabilities: ProbeProbabilities, key: ProbeKey): RoutePlan {
  const depth = draws[0]!.mask.length;
  const coins = draws.map((_, n) =>
    uniforms({ seed: key.seed, purpose: "probe", step: key.step, index: key.first + n }, depth),
  );
  const feeds: Record<string, NDArray> = {};
  const [kept, probes, factors]: [Int32Array[], Int32Array[], Float64Array[]] = [[], [], []];
  for (let i = 0; i < depth; i++) {
    const rows = draws.map((_, n) => n);
    const keptRows = rows.filter((n) => draws[n]!.mask[i] === 1);
    const droppedRows = rows.filter((n) => draws[n]!.mask[i] === 0);
    const probed = droppedRows.filter((n) => coins[n]![i]! < probabilities[n]![i]!);
    feeds[`kept.${i}`] = int32(keptRows);
    feeds[`dropped.${i}`] = int32(droppedRows);
    feeds[`inverse.${i}`] = int32(inverseOf([...keptRows, ...droppedRows]));
    feeds[`probe.${i}`] = int32(probed);
    kept.push(Int32Array.from(keptRows));
    probes.push(Int32Array.from(probed));
    factors.push(Float64Array.from(probed, (n) => 1 / probabilities[n]![i]!));
  }
  return { feeds, kept, probes, factors };
}

function inverseOf(order: readonly number[]): Int32Array {
  const inverse = new Int32Array(order.length);
  order.forEach((row, place) => {
    inverse[row] = place;
  });
  return inverse;
}

/** ∂L/∂mask [N][depth] from the gradients a routed graph returned; rows that were not probed have 0. */
export function maskGradientOf(plan: RoutePlan, rows: number, gradients: NamedArrays): Float64Array[] {
  const result = Array.from({ length: rows }, () => new Float64Array(plan.kept.length));
  plan.kept.forEach((keptRows, i) => {
    const kept = gradients[`keptGradient.${i}`]!.data as Float32Array;
    const probed = gradients[`probeGradient.${i}`]!.data as Float32Array;
    keptRows.forEach((n, k) => {
      result[n]![i] = kept[k]!;
    });
    plan.probes[i]!.forEach((n, k) => {
      result[n]![i] = probed[k]! * plan.factors[i]![k]!;
    });
  });
  return result;
}
