/** A step cache: which model evaluations compute a kind of branch and which reuse it, with one session for each combination. */
import { InputError } from "../../array/input-error.ts";
import { float32, type NDArray, sizeOf } from "../../array/ndarray.ts";
import type { DeviceArray, Inputs, Program } from "../../engine/engine.ts";
import { add, input, mul } from "../../graph/build.ts";
import type { Shape } from "../../graph/dim.ts";
import type { Tensor } from "../../graph/tensor.ts";

import type { ImageSampler, LoopSessions, SamplerRequest, SamplingLoop } from "../image-sampler.ts";
import {
  type BranchProducts,
  type CacheCurves,
  type CacheSampling,
  cachePlan,
  type ErrorCurves,
} from "../sampling-settings.ts";
import { type BranchKind, type BranchOutput, branchKinds, byKind, runCached, tensorsOf } from "./cached-blocks.ts";
import { curvesOf, MAX_AGE } from "./error-curves.ts";
import { fitWeights, OLDEST } from "./predictor.ts";

/** What a run with a cache records of it. */
export interface CacheRecord {
  readonly tolerance: number;
  /** Weights [evaluation][history] of the computed outputs, the newest first, where others are predicted. */
  readonly weights?: PredictedSchedule["weights"];
  /** The model evaluations at which each kind is computed; between them it is reused, or predicted. */
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

/** What is computed, and the weights [evaluation][history] of what is predicted, the newest output first. */
export interface PredictedSchedule {
  readonly schedule: CacheSchedule;
  readonly weights: Readonly<Record<BranchKind, readonly (readonly number[])[]>>;
}

/**
 * Goes through the model evaluations once and predicts a kind, from up to `history` computed outputs, while the error of that
 * stays below `tolerance`. What is older than a few evaluations is computed again.
 */
export function predictedSchedule(
  products: BranchProducts,
  evaluations: number,
  tolerance: number,
  history: number,
): PredictedSchedule {
  const weights = byKind((): number[][] => []);
  const schedule = byKind((kind) => {
    const computed: number[] = [];
    return Array.from({ length: evaluations }, (_, i) => {
      const ages = computed.slice(0, history).flatMap((at) => (i - at <= OLDEST ? [i - at] : []));
      const isNear = ages.length > 0 && ages[0]! <= MAX_AGE && i < evaluations - COMPUTED_AT_END;
      const fitted = isNear && products[kind].length > 0 ? fitWeights(products[kind][i]!, ages) : undefined;
      const isPredicted = fitted !== undefined && fitted.error < tolerance;
      weights[kind].push(Array.from({ length: history }, (_w, k) => (isPredicted ? (fitted.weights[k] ?? 0) : 0)));
      if (!isPredicted) computed.unshift(i);
      return isPredicted;
    });
  });
  return { schedule, weights };
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
  const curves = await curvesOf(request, { ...loop, modelEvaluations }, plan);
  const { tolerance, history } = plan;
  const predicted = history > 1 ? predictedSchedule(curves.products!, modelEvaluations, tolerance, history) : undefined;
  const schedule = predicted?.schedule ?? cacheSchedule(curves.errors, modelEvaluations, tolerance);
  const reused = Array.from({ length: modelEvaluations }, (_, i) => reusedAt(schedule, i));
  const { sessions, graphs, residentBytes } = await compileSessions(request, loop, reused, {
    history,
    weights: predicted?.weights,
  });
  const computedAt = byKind((kind) => schedule[kind].flatMap((isReused, i) => (isReused ? [] : [i])));
  const { branches } = curves.measured;
  const total = (evaluationsOf: (kind: BranchKind) => number) =>
    branchKinds.reduce((sum, kind) => sum + branches[kind] * evaluationsOf(kind), 0);
  const savedShare = total((kind) => modelEvaluations - computedAt[kind].length) / total(() => modelEvaluations);
  const { weights } = predicted ?? {};
  return {
    ...sessions,
    record: { tolerance, ...(weights && { weights }), computedAt, savedShare, graphs, residentBytes, curves },
  };
}

/** A graph, and the branch outputs that it computes for later model evaluations. */
interface Pattern {
  readonly program: Program;
  readonly written: Readonly<Record<string, Tensor>>;
}

const nameOf = (reused: readonly BranchKind[]): string =>
  reused.length === 0 ? "all computed" : `${reused.join(" and ")} reused`;

/** From how many computed outputs the others follow; weights where that is more than reuse. */
interface Following {
  readonly history: number;
  readonly weights: PredictedSchedule["weights"] | undefined;
}

/**
 * Compiles a graph for each set of kinds in `reused` [modelEvaluations]. Outputs of a kind that is never reused are not kept,
 * so a schedule that reuses nothing runs the graph that there is without a cache. The state holds one batch: batches are
 * sampled one after the other.
 */
async function compileSessions(
  request: SamplerRequest,
  loop: SamplingLoop,
  reused: readonly BranchKind[][],
  following: Following,
) {
  const { history, weights } = following;
  const kept = new Set(reused.flat());
  const patterns = new Map<string, Pattern>();
  const release = async () => {
    for (const { program } of patterns.values()) await program.release();
  };
  try {
    for (const kinds of reused) {
      if (patterns.has(nameOf(kinds))) continue;
      patterns.set(nameOf(kinds), await compilePattern(request, loop, new Set(kinds), kept, following));
    }
  } catch (error) {
    await release();
    throw error;
  }
  let batches = 0;
  /** Computed outputs by branch, the newest first. */
  const state = new Map<string, DeviceArray[]>();
  const begin = () => {
    const own = ++batches;
    let evaluation = 0;
    return async (inputs: Inputs) => {
      if (own !== batches) throw new TypeError("caching: a sampler with a cache draws one batch at a time");
      const { program, written } = patterns.get(nameOf(reused[evaluation]!))!;
      const fitted = weights ? weightInputs(weights, evaluation) : {};
      evaluation++;
      const results = Object.entries(await program.run({ ...pastInputs(state, history), ...fitted, ...inputs }));
      for (const [name, array] of results.filter(([name]) => name in written)) {
        const list = [array, ...(state.get(name) ?? [])];
        for (const old of list.splice(history)) old.release();
        state.set(name, list);
      }
      return Object.fromEntries(results.filter(([name]) => !(name in written)));
    };
  };
  const countOf = (name: string) => reused.filter((kinds) => nameOf(kinds) === name).length;
  return {
    sessions: { begin, release },
    graphs: Object.fromEntries(Array.from(patterns.keys(), (name) => [name, countOf(name)])),
    residentBytes: history * residentBytesOf([...patterns.values()]),
  };
}

/** The name of a branch's output k computations back; 0 is the newest. */
const pastName = (name: string, k: number): string => (k === 0 ? name : `${name}.${k}`);

/** All that a graph may read; what is not there has the weight 0, and the newest in its place. */
function pastInputs(state: ReadonlyMap<string, readonly DeviceArray[]>, history: number): Record<string, DeviceArray> {
  const inputs: Record<string, DeviceArray> = {};
  for (const [name, list] of state) for (let k = 0; k < history; k++) inputs[pastName(name, k)] = list[k] ?? list[0]!;
  return inputs;
}

const weightInputs = (weights: PredictedSchedule["weights"], evaluation: number): Record<string, NDArray> =>
  Object.fromEntries(
    branchKinds.flatMap((kind) =>
      (weights[kind][evaluation] ?? []).map((weight, k) => [`weight.${kind}.${k}`, float32([weight], [])] as const),
    ),
  );

/** The output of a branch that is not computed. */
const followed =
  ({ history, weights }: Following) =>
  (name: string, kind: BranchKind, shape: Shape): Tensor => {
    if (!weights) return input(name, shape);
    const terms = Array.from({ length: history }, (_, k) =>
      mul(input(pastName(name, k), shape), input(`weight.${kind}.${k}`, [])),
    );
    return terms.reduce((sum, term) => add(sum, term));
  };

async function compilePattern(
  { engine, weights, batch, runBlock }: SamplerRequest,
  loop: SamplingLoop,
  reused: ReadonlySet<BranchKind>,
  kept: ReadonlySet<BranchKind>,
  following: Following,
): Promise<Pattern> {
  const branches = new Map<string, BranchOutput>();
  const outputs = loop.outputs(batch, runCached(reused, branches, runBlock, followed(following)));
  const written = tensorsOf([...branches].filter(([, { kind }]) => kept.has(kind) && !reused.has(kind)));
  const options = { constants: weights, donate: loop.donate ?? [] };
  return { program: await engine.compile({ outputs: { ...outputs, ...written } }, options), written };
}

/** Of the float32 arrays that all graphs together write. */
function residentBytesOf(patterns: readonly Pattern[]): number {
  const written: Readonly<Record<string, Tensor>> = Object.assign({}, ...patterns.map((pattern) => pattern.written));
  return Object.values(written).reduce((sum, { shape }) => sum + 4 * sizeOf(shape as readonly number[]), 0);
}
