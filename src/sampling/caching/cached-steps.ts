/** Evaluations of a loop with a cache: one session for each set of reused kinds, deltas as their named state. */
import type { NDArray } from "../../array/ndarray.ts";
import type { Session } from "../../engine/engine.ts";
import { placeWeights } from "../../weights/placed-weights.ts";
import type { SamplerRequest } from "../image-sampler.ts";
import type { SamplingLoop, Steps } from "../sampling-loop.ts";
import { type CacheSchedule, keptKinds, reusedAt } from "./cache-schedule.ts";
import { type BranchKind, type BranchOutput, runCached } from "./cached-blocks.ts";
import { deltaArrays } from "./calibrate.ts";

/** A graph, and the deltas that it writes. */
interface Pattern {
  readonly session: Session;
  readonly writes: Readonly<Record<string, NDArray>>;
}

/** Steps that a schedule was made for. */
export interface CachedSteps extends Steps {
  /** How many evaluations of a batch reuse which kinds, by their names: one graph each. */
  readonly graphs: Readonly<Record<string, number>>;
  /** Deltas that stay in memory from one evaluation to the next. */
  readonly residentBytes: number;
}

/**
 * Compiles what the schedule needs. A kind that is never reused is not kept; a schedule that reuses nothing runs the graph
 * that there is without a cache. Its state holds one batch, so batches are drawn one after the other.
 */
export async function cachedSteps(
  request: SamplerRequest,
  loop: SamplingLoop & { readonly evaluations: number },
  schedule: CacheSchedule,
): Promise<CachedSteps> {
  const keys = Array.from({ length: loop.evaluations }, (_, i) => reusedAt(schedule, i));
  const kept = keptKinds(schedule);
  const { fed } = placeWeights(request.weights);
  const state: Record<string, NDArray> = {};
  const patterns = new Map<string, Pattern>();
  const release = async () => {
    for (const { session } of patterns.values()) await session.release();
  };
  try {
    for (const reused of keys) {
      if (patterns.has(keyOf(reused))) continue;
      patterns.set(keyOf(reused), await compilePattern(request, loop, { reused: new Set(reused), kept }, state));
    }
  } catch (error) {
    await release();
    throw error;
  }
  let batches = 0;
  return {
    graphs: Object.fromEntries(
      Array.from(patterns.keys(), (key) => [key, keys.filter((reused) => keyOf(reused) === key).length]),
    ),
    residentBytes: Object.values(state).reduce((sum, { byteLength }) => sum + byteLength, 0),
    release,
    begin() {
      const own = ++batches;
      let evaluation = 0;
      return (feeds) => {
        if (own !== batches) throw new TypeError("caching: a sampler with a cache draws one batch at a time");
        const { session, writes } = patterns.get(keyOf(keys[evaluation++]!))!;
        return session.run({ ...fed, ...state, ...feeds }, writes);
      };
    },
  };
}

const keyOf = (reused: readonly BranchKind[]): string =>
  reused.length === 0 ? "all computed" : `${reused.join(" and ")} reused`;

/** `state` gets the arrays of the deltas that are written and not there yet. */
async function compilePattern(
  { engine, weights, batch, runBlock }: SamplerRequest,
  loop: SamplingLoop,
  { reused, kept }: { readonly reused: ReadonlySet<BranchKind>; readonly kept: ReadonlySet<BranchKind> },
  state: Record<string, NDArray>,
): Promise<Pattern> {
  const deltas = new Map<string, BranchOutput>();
  const outputs = loop.outputs(batch, runCached(reused, deltas, runBlock));
  const written = [...deltas].filter(([, { kind }]) => kept.has(kind) && !reused.has(kind));
  const values = Object.fromEntries(written.map(([name, { value }]) => [name, value]));
  const missing = Object.entries(values).filter(([name]) => !(name in state));
  Object.assign(state, deltaArrays(Object.fromEntries(missing)));
  const session = await engine.compile({ outputs: { ...outputs, ...values } }, placeWeights(weights).options);
  return { session, writes: Object.fromEntries(written.map(([name]) => [name, state[name]!])) };
}
