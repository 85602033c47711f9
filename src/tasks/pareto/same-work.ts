/** Cells that do the same work under two names: a cache that saves nothing is no cache. */
import { cacheOf } from "../../sampling/caching/step-cache.ts";
import type { CellResult } from "./cell.ts";

/** Whether a cell has a cache that computes everything anew. */
export const savesNothing = (result: Pick<CellResult, "derived">): boolean => cacheOf(result)?.savedShare === 0;

/**
 * The cells that compute what another one computes, by id, and the id of that other: the one without a cache, or else the
 * first. Their images are the same, and their times differ by chance only.
 */
export function repeatedCells(results: readonly CellResult[]): ReadonlyMap<string, string> {
  const groups = new Map<string, CellResult[]>();
  for (const result of results) {
    const work = workOf(result);
    groups.set(work, [...(groups.get(work) ?? []), result]);
  }
  return new Map(
    Array.from(groups.values(), (group) => {
      const original = group.find((result) => cacheOf(result) === undefined) ?? group[0]!;
      return group.filter((result) => result !== original).map(({ id }) => [id, original.id] as const);
    }).flat(),
  );
}

/** All that decides what a cell computes. */
function workOf(result: CellResult): string {
  const { sha256, weights, kept } = result.model;
  const { cache: _, cacheImages: __, ...settings } = result.settings;
  const reuse = savesNothing(result) ? undefined : cacheOf(result)?.computedAt;
  return JSON.stringify([sha256, weights, kept ?? null, settings, reuse ?? null]);
}
