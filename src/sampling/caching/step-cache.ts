/** A step cache: which model evaluations compute a kind of branch and which reuse it, with one session for each combination. */
import { InputError } from "../../array/input-error.ts";
import { sizeOf } from "../../array/ndarray.ts";
import type { DeviceArray, Inputs, Program } from "../../engine/engine.ts";
import type { Tensor } from "../../graph/tensor.ts";

import type { ImageSampler, LoopSessions, SamplerRequest, SamplingLoop } from "../image-sampler.ts";
import { type CacheCurves, type CacheSampling, cachePlan, type ErrorCurves } from "../sampling-settings.ts";
import { type BranchKind, type BranchOutput, branchKinds, byKind, runCached, tensorsOf } from "./cached-blocks.ts";
import { curvesOf } from "./error-curves.ts";

/** What a run with a cache records of it. */
export interface CacheRecord {
  readonly tolerance: number;
  /** The model evaluations at which each kind is computed; between them it is reused. */
  readonly computedAt: Readonly<Record<BranchKind, readonly number[]>>;
  /** Share of all branches that are not computed. */
  readonly savedShare: number;
  /** Model evaluations of each graph, by the kinds that it reuses. */
  readonly graphs: Readonly<Record<string, number>>;
  /** Of branch outputs, which stay in memory from one model evaluation to the next. */
  readonly residentBytes: number;
  readonly curves: CacheCurves;
}

/** What a sampler recorded of its cache; undefined if it has none. */
export const cacheOf = ({ derived }: Pick<ImageSampler, "derived">): CacheRecord | undefined =>
  derived.cache as CacheRecord | undefined;

/** For each kind and model evaluation, whether what the last full computation gave is used again. */
export type CacheSchedule = Readonly<Record<BranchKind, readonly boolean[]>>;

/** Model evaluations at the end that are always computed: nothing after them mends an error. */
const COMPUTED_AT_END = 1;

/**
 * Goes through the model evaluations once and reuses a kind while its error since it was computed stays below `tolerance`
 * (Liu et al. 2024, SmoothCache, arXiv 2411.10510). Curves hold a few ages only: what is older is computed again.
 */
export function cacheSchedule(errors: ErrorCurves, evaluations: number, tolerance: number): CacheSchedule {
  return byKind((kind) => {
    let computed = 0;
    return Array.from({ length: evaluations }, (_, i) => {
      const error = errors[kind][computed]?.[i - computed - 1];
      const isReused = error !== undefined && error < tolerance && i < evaluations - COMPUTED_AT_END;
      if (!isReused) computed = i;
      return isReused;
    });
  });
}

/** The kinds that a model evaluation reuses: as many graphs are compiled as there are different ones. */
export const reusedAt = (schedule: CacheSchedule, evaluation: number): BranchKind[] =>
  branchKinds.filter((kind) => schedule[kind][evaluation]);

/** The sessions of a loop with a cache; undefined without one. @throws InputError for a cache that does not fit the loop. */
export async function compileStepCache(
  request: SamplerRequest,
  loop: SamplingLoop,
  settings: CacheSampling,
): Promise<(LoopSessions & { readonly record: CacheRecord }) | undefined> {
  const plan = cachePlan(settings);
  if (!plan) return undefined;
  const { modelEvaluations } = loop;
  if (modelEvaluations === undefined) {
    const { sampler } = loop.settings;
    throw new InputError(
      `caching: expected a sampler with a fixed number of evaluations, found ${sampler}; use another, or no \`cache\``,
    );
  }
  const curves = await curvesOf(request, { ...loop, modelEvaluations }, plan.source);
  const schedule = cacheSchedule(curves.errors, modelEvaluations, plan.tolerance);
  const reused = Array.from({ length: modelEvaluations }, (_, i) => reusedAt(schedule, i));
  const { sessions, graphs, residentBytes } = await compileSessions(request, loop, reused);
  const computedAt = byKind((kind) => schedule[kind].flatMap((isReused, i) => (isReused ? [] : [i])));
  const { branches } = curves.measured;
  const total = (evaluationsOf: (kind: BranchKind) => number) =>
    branchKinds.reduce((sum, kind) => sum + branches[kind] * evaluationsOf(kind), 0);
  const savedShare = total((kind) => modelEvaluations - computedAt[kind].length) / total(() => modelEvaluations);
  return { ...sessions, record: { tolerance: plan.tolerance, computedAt, savedShare, graphs, residentBytes, curves } };
}

/** A graph, and the branch outputs that it computes for later model evaluations. */
interface Pattern {
  readonly program: Program;
  readonly written: Readonly<Record<string, Tensor>>;
}

const nameOf = (reused: readonly BranchKind[]): string =>
  reused.length === 0 ? "all computed" : `${reused.join(" and ")} reused`;

/**
 * Compiles a graph for each set of kinds in `reused` [modelEvaluations]. Outputs of a kind that is never reused are not kept,
 * so a schedule that reuses nothing runs the graph that there is without a cache. The state holds one batch: batches are
 * sampled one after the other.
 */
async function compileSessions(request: SamplerRequest, loop: SamplingLoop, reused: readonly BranchKind[][]) {
  const kept = new Set(reused.flat());
  const patterns = new Map<string, Pattern>();
  const release = async () => {
    for (const { program } of patterns.values()) await program.release();
  };
  try {
    for (const kinds of reused) {
      if (patterns.has(nameOf(kinds))) continue;
      patterns.set(nameOf(kinds), await compilePattern(request, loop, new Set(kinds), kept));
    }
  } catch (error) {
    await release();
    throw error;
  }
  let batches = 0;
  const state: Record<string, DeviceArray> = {};
  const begin = () => {
    const own = ++batches;
    let evaluation = 0;
    return async (inputs: Inputs) => {
      if (own !== batches) throw new TypeError("caching: a sampler with a cache draws one batch at a time");
      const { program, written } = patterns.get(nameOf(reused[evaluation++]!))!;
      const results = Object.entries(await program.run({ ...state, ...inputs }));
      for (const [name, array] of results.filter(([name]) => name in written)) {
        state[name]?.release();
        state[name] = array;
      }
      return Object.fromEntries(results.filter(([name]) => !(name in written)));
    };
  };
  const countOf = (name: string) => reused.filter((kinds) => nameOf(kinds) === name).length;
  return {
    sessions: { begin, release },
    graphs: Object.fromEntries(Array.from(patterns.keys(), (name) => [name, countOf(name)])),
    residentBytes: residentBytesOf([...patterns.values()]),
  };
}

async function compilePattern(
  { engine, weights, batch, runBlock }: SamplerRequest,
  loop: SamplingLoop,
  reused: ReadonlySet<BranchKind>,
  kept: ReadonlySet<BranchKind>,
): Promise<Pattern> {
  const branches = new Map<string, BranchOutput>();
  const outputs = loop.outputs(batch, runCached(reused, branches, runBlock));
  const written = tensorsOf([...branches].filter(([, { kind }]) => kept.has(kind) && !reused.has(kind)));
  const options = { constants: weights, donate: loop.donate ?? [] };
  return { program: await engine.compile({ outputs: { ...outputs, ...written } }, options), written };
}

/** Of the float32 arrays that all graphs together write. */
function residentBytesOf(patterns: readonly Pattern[]): number {
  const written: Readonly<Record<string, Tensor>> = Object.assign({}, ...patterns.map((pattern) => pattern.written));
  return Object.values(written).reduce((sum, { shape }) => sum + 4 * sizeOf(shape as readonly number[]), 0);
}
