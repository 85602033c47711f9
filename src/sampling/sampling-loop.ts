/** Samplers that ask one graph for every evaluation, with or without a cache of its branches. B batch, C channels, S side. */
import { InputError } from "../array/input-error.ts";
import type { NDArray } from "../array/ndarray.ts";
import type { NamedArrays } from "../engine/engine.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { RunBlock } from "../nn/run-block.ts";
import { placeWeights } from "../weights/placed-weights.ts";
import { type CacheSchedule, cacheSchedule } from "./caching/cache-schedule.ts";
import { type CachePlan, type CacheSampling, cachePlan, notedCache } from "./caching/cache-settings.ts";
import { type BranchKind, type BranchOutput, branchKinds, runCached } from "./caching/cached-blocks.ts";
import { type CachedSteps, cachedSteps } from "./caching/cached-steps.ts";
import { branchCounts, measureCurves } from "./caching/calibrate.ts";
import type { CacheCurves } from "./caching/error-curves.ts";
import { givenCurves } from "./caching/given-curves.ts";
import type { ImageSampler, SamplerRequest } from "./image-sampler.ts";
import { type NoisyBatch, noisyBatch } from "./sample-noise.ts";

/** Runs the graph once, on all inputs but weights and cache. */
export type Evaluate = (feeds: NamedArrays) => Promise<Record<string, NDArray>>;

/** What a sampler does with a graph, whoever runs it. */
export interface SamplingLoop extends Pick<ImageSampler, "evaluations" | "settings" | "derived"> {
  /** What joins noise and data, as a model file describes it. */
  readonly process: object;
  /** The graph for a batch of so many images, with blocks that run through `runBlock`. */
  outputs(batch: number, runBlock: RunBlock | undefined): Readonly<Record<string, Tensor>>;
  /** From noise to images [B, C, S, S]. */
  draw(evaluate: Evaluate, batch: NoisyBatch): Promise<NDArray>;
}

/** Compiled graphs. */
export interface Steps {
  /** The evaluations of a new batch, in order. */
  begin(): Evaluate;
  release(): Promise<void>;
}

/** What a run with a cache notes of itself. */
export interface CacheFacts {
  readonly tolerance: number;
  /** The evaluations at which each kind is computed; between them it is reused. */
  readonly computedAt: Readonly<Record<BranchKind, readonly number[]>>;
  /** Share of all branches that are not computed. */
  readonly savedShare: number;
  /** Evaluations of each graph. */
  readonly graphs: Readonly<Record<string, number>>;
  readonly residentBytes: number;
  readonly curves: CacheCurves;
}

/** What a sampler noted of its cache; undefined if it has none. */
export const cacheOf = ({ derived }: Pick<ImageSampler, "derived">): CacheFacts | undefined =>
  derived.cache as CacheFacts | undefined;

/** @throws InputError for a cache that does not fit the sampler. */
export async function compileSamplingLoop(
  request: SamplerRequest,
  loop: SamplingLoop,
  settings: CacheSampling,
): Promise<ImageSampler> {
  const plan = cachePlan(settings);
  const cached = plan && (await compileCached(request, loop, plan));
  const steps = cached?.steps ?? (await compilePlain(request, loop));
  return {
    evaluations: loop.evaluations,
    settings: { ...loop.settings, ...notedCache(settings) },
    derived: { ...loop.derived, ...(cached && { cache: cached.facts }) },
    release: () => steps.release(),
    sample({ onModelEvaluation, ...of }) {
      const evaluate = steps.begin();
      const batch = noisyBatch(request.model.config, { ...of, seed: request.seed });
      return loop.draw(async (feeds) => {
        const outputs = await evaluate(feeds);
        onModelEvaluation();
        return outputs;
      }, batch);
    },
  };
}

/** One session for all evaluations. */
async function compilePlain(request: SamplerRequest, loop: SamplingLoop): Promise<Steps> {
  const { fed, options } = placeWeights(request.weights);
  const session = await request.engine.compile({ outputs: loop.outputs(request.batch, request.runBlock) }, options);
  return { begin: () => (feeds) => session.run({ ...fed, ...feeds }), release: () => session.release() };
}

async function compileCached(
  request: SamplerRequest,
  loop: SamplingLoop,
  { tolerance, source }: CachePlan,
): Promise<{ readonly steps: Steps; readonly facts: CacheFacts }> {
  const { evaluations } = loop;
  if (evaluations === undefined) {
    const { sampler } = loop.settings;
    throw new InputError(
      `caching: expected a sampler with a fixed number of evaluations, found ${sampler}; use another, or no --cache`,
    );
  }
  const fixed = { ...loop, evaluations };
  const curves =
    "images" in source
      ? await measureCurves(request, fixed, source.images)
      : givenCurves(source.curves, wantedOf(request, fixed));
  const schedule = cacheSchedule(curves.errors, fixed.evaluations, tolerance);
  const steps = await cachedSteps(request, fixed, schedule);
  return { steps, facts: factsOf(tolerance, schedule, curves, steps) };
}

/** What curves from elsewhere must have been measured with. */
function wantedOf(
  { runBlock, batch }: SamplerRequest,
  { evaluations, process, settings, outputs }: SamplingLoop & { readonly evaluations: number },
) {
  const deltas = new Map<string, BranchOutput>();
  outputs(batch, runCached(new Set(), deltas, runBlock));
  return { evaluations, branches: branchCounts(deltas), process, settings };
}

function factsOf(
  tolerance: number,
  schedule: CacheSchedule,
  curves: CacheCurves,
  { graphs, residentBytes }: CachedSteps,
): CacheFacts {
  const { branches, evaluations } = curves.measured;
  const computed = (kind: BranchKind) => schedule[kind].flatMap((isReused, i) => (isReused ? [] : [i]));
  const count = (of: (kind: BranchKind) => number) => branchKinds.reduce((sum, kind) => sum + of(kind), 0);
  const all = count((kind) => branches[kind] * evaluations);
  const reused = count((kind) => branches[kind] * (evaluations - computed(kind).length));
  return {
    tolerance,
    computedAt: { attention: computed("attention"), mlp: computed("mlp") },
    savedShare: reused / all,
    ...{ graphs, residentBytes, curves },
  };
}
