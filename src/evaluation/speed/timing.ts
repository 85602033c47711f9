/** Timing draws: the middle of several times, draws that end before their images do, and graphs that have run before. */
import type { Process } from "../../diffusion/process.ts";
import type { Engine } from "../../engine/engine.ts";
import type { BatchRequest, ImageSampler } from "../../sampling/image-sampler.ts";

/** The middle one; the mean of the two in the middle if their number is even. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
}

type Batch = Omit<BatchRequest, "onModelEvaluation">;

class Enough extends Error {}

/** Draws a batch to its end, or until it is enough after so many evaluations; returns how many were made. */
export async function sampleUntil(
  sampler: ImageSampler,
  batch: Batch,
  isEnough: (evaluations: number) => boolean,
): Promise<number> {
  let evaluations = 0;
  const onModelEvaluation = () => {
    if (isEnough(++evaluations)) throw new Enough();
  };
  try {
    await sampler.sample({ ...batch, onModelEvaluation });
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  }
  return evaluations;
}

/** An engine that knows whether all sessions which it compiled have run. */
export interface WarmingEngine extends Engine {
  isWarm(): boolean;
}

export function warmingEngine(engine: Engine): WarmingEngine {
  const cold = new Set<object>();
  return {
    ...engine,
    isWarm: () => cold.size === 0,
    async compile(graph, options) {
      const session = await engine.compile(graph, options);
      cold.add(session);
      return {
        run(feeds, into) {
          cold.delete(session);
          return session.run(feeds, into);
        },
        release: () => session.release(),
      };
    },
  };
}

export interface WarmUpRequest {
  /** That the sampler was compiled with, and nothing else. */
  readonly engine: WarmingEngine;
  readonly process: Process;
  readonly batch: Batch;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs each graph of a sampler, which allocates what later runs use again: after one evaluation of most, after more of one
 * with several graphs.
 * @throws the signal's reason if aborted.
 */
export async function warmUp(sampler: ImageSampler, { engine, process, batch, signal }: WarmUpRequest): Promise<void> {
  await sampleUntil(sampler, batch, () => {
    signal?.throwIfAborted();
    // A MAR's inputs have another size in every iteration: only a whole batch has met them all.
    return process.kind !== "tokens" && engine.isWarm();
  });
}
