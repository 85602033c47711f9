/** Which rows of a batch each block runs on, and which dropped rows are probed for the gates' gradient. */
import { int32, type NDArray } from "../array/ndarray.ts";
import { uniforms } from "../array/random.ts";
import { sumOf } from "../array/reduce.ts";
import type { NamedArrays } from "../engine/engine.ts";
import type { GateGroup, MaskDraw, Temperature } from "./draw-mask.ts";
import { gateSensitivity } from "./gate-gradient.ts";

/** Probability that a dropped row runs forward: [N][depth]; entries of kept rows are not used. */
export type ProbeProbabilities = readonly Float64Array[];

/** Rows whose sensitivity is below this fraction of the batch's largest are never probed. */
const NEGLIGIBLE = 1e-4;

/**
 * The probability of probing each dropped row: proportional to how much it moves the gates, capped at 1, with mean
 * `fraction` over all dropped rows. A fraction of 1 probes all but negligible rows.
 */
export function probeProbabilities(
  groups: readonly GateGroup[],
  draws: readonly MaskDraw[],
  temperature: Temperature,
  fraction: number,
): ProbeProbabilities {
  const weights = draws.map((draw) => gateSensitivity(groups, draw, temperature));
  const dropped = draws.flatMap(({ mask }, n) => Array.from(weights[n]!).filter((_, i) => mask[i] === 0));
  const largest = dropped.reduce((a, b) => Math.max(a, b), 0);
  if (fraction >= 1) return weights.map((row) => row.map((w) => (w > NEGLIGIBLE * largest ? 1 : 0)));
  const factor = factorForMean(dropped, fraction);
  return weights.map((row) => row.map((w) => Math.min(1, factor * w)));
}

/** c such that the mean of min(1, c · w) is `mean`, or the largest mean that is possible. */
function factorForMean(weights: readonly number[], mean: number): number {
  const sorted = weights.filter((w) => w > 0).sort((a, b) => b - a);
  const wanted = Math.min(mean * weights.length, sorted.length);
  let rest = sumOf(sorted);
  for (const [capped, w] of sorted.entries()) {
    // With the `capped` largest at 1, the others have the rest between them.
    const factor = (wanted - capped) / rest;
    if (factor * w <= 1) return factor;
    rest -= w;
  }
  return sorted.length > 0 ? 1 / sorted.at(-1)! : 0;
}

/** The key of the draw that decides on probing row n: seed, step and example number. */
export interface ProbeKey {
  readonly seed: number;
  readonly step: number;
  /** Example number of the first row in its global batch. */
  readonly first: number;
}

/** The routes of one micro-batch as feeds of a routed graph, and ∂L/∂mask [N][depth] from its outputs. */
export function planRoutes(draws: readonly MaskDraw[], probabilities: ProbeProbabilities, key: ProbeKey) {
  const depth = draws[0]!.mask.length;
  const coins = draws.map((_, n) =>
    uniforms({ seed: key.seed, purpose: "probe", step: key.step, index: key.first + n }, depth),
  );
  const feeds: Record<string, NDArray> = {};
  const routes = Array.from({ length: depth }, (_, i) => {
    const rows = draws.map((_, n) => n);
    const kept = rows.filter((n) => draws[n]!.mask[i] === 1);
    const dropped = rows.filter((n) => draws[n]!.mask[i] === 0);
    const probed = dropped.filter((n) => coins[n]![i]! < probabilities[n]![i]!);
    feeds[`kept.${i}`] = int32(kept);
    feeds[`dropped.${i}`] = int32(dropped);
    feeds[`inverse.${i}`] = int32(inverseOf([...kept, ...dropped]));
    feeds[`probe.${i}`] = int32(probed);
    return { kept, probed };
  });
  /** A probed row counts 1 / q for its probability q, so that the sum is unbiased; rows that were not probed have 0. */
  function gradient(outputs: NamedArrays): Float64Array[] {
    const result = draws.map(() => new Float64Array(depth));
    routes.forEach(({ kept, probed }, i) => {
      const ofKept = outputs[`keptGradient.${i}`]!.data as Float32Array;
      const ofProbed = outputs[`probeGradient.${i}`]!.data as Float32Array;
      for (const [k, n] of kept.entries()) result[n]![i] = ofKept[k]!;
      for (const [k, n] of probed.entries()) result[n]![i] = ofProbed[k]! * (1 / probabilities[n]![i]!);
    });
    return result;
  }
  return { feeds, gradient };
}

function inverseOf(order: readonly number[]): Int32Array {
  const inverse = new Int32Array(order.length);
  for (const [place, row] of order.entries()) inverse[row] = place;
  return inverse;
}
