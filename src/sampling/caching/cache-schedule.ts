/** Which evaluations compute a kind of branch, and which reuse it. */
import { type BranchKind, branchKinds } from "./cached-blocks.ts";
import type { Errors } from "./error-curves.ts";

/** For each kind and evaluation, whether what the last full computation gave is used again. */
export type CacheSchedule = Readonly<Record<BranchKind, readonly boolean[]>>;

/** Evaluations at the end that are always computed: nothing after them mends an error. */
const COMPUTED_AT_END = 1;

/**
 * Goes through the evaluations once and reuses a kind while its error since it was computed stays below `tolerance`
 * (Liu et al. 2024, SmoothCache, arXiv 2411.10510). Errors know no more than a few evaluations: what is older is computed again.
 */
export function cacheSchedule(errors: Errors, evaluations: number, tolerance: number): CacheSchedule {
  const reusedOf = (kind: BranchKind): boolean[] => {
    let computed = 0;
    return Array.from({ length: evaluations }, (_, i) => {
      const error = errors[kind][computed]?.[i - computed - 1];
      const isReused = error !== undefined && error < tolerance && i < evaluations - COMPUTED_AT_END;
      if (!isReused) computed = i;
      return isReused;
    });
  };
  return Object.fromEntries(branchKinds.map((kind) => [kind, reusedOf(kind)])) as Record<BranchKind, boolean[]>;
}

/** The kinds that an evaluation reuses: as many graphs are compiled as there are different ones. */
export const reusedAt = (schedule: CacheSchedule, evaluation: number): BranchKind[] =>
  branchKinds.filter((kind) => schedule[kind][evaluation]);

/** The kinds whose deltas must be kept. */
export const keptKinds = (schedule: CacheSchedule): Set<BranchKind> =>
  new Set(branchKinds.filter((kind) => schedule[kind].includes(true)));
