/** Lines about how a model sampled. */
import { cacheOf } from "../sampling/sampling-loop.ts";
import { bytesText } from "./table.ts";

/** A line about the step cache of a run, from the `derived` values of its sampler; none without a cache. */
export function cacheLines(derived: Readonly<Record<string, unknown>>): string[] {
  const facts = cacheOf({ derived });
  if (!facts) return [];
  const { tolerance, computedAt, curves, graphs, savedShare, residentBytes } = facts;
  const { evaluations } = curves.measured;
  const count = Object.keys(graphs).length;
  return [
    `cache ${tolerance}: attention computed in ${computedAt.attention.length} of ${evaluations} evaluations, MLPs in ` +
      `${computedAt.mlp.length} (${(100 * savedShare).toFixed(0)}% of all branches saved); ` +
      `${count} ${count === 1 ? "graph" : "graphs"}, ${bytesText(residentBytes)} resident`,
  ];
}
