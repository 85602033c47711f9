/** How long a cell takes to draw one image, now. */
import type { CacheCurves } from "../../evaluation/caching/error-curves.ts";
import { compileSampler, type ImageSampler } from "../../evaluation/samplers/image-sampler.ts";
import { runOnly } from "../../nn/run-block.ts";
import type { Engine } from "../../onnx/session.ts";
import type { Cell } from "./grid.ts";

export interface DrawTimingRequest {
  readonly engine: Engine;
  /** What a cache was measured to change, of a cell that has one; without it the cache measures again. */
  readonly curves?: CacheCurves;
  readonly signal?: AbortSignal;
}

/**
 * Seconds of an image of one batch, drawn to its end. Compilation is not in it, nor the first run of any graph, which
 * allocates what later ones use again.
 * @throws the signal's reason if aborted.
 */
export async function timedDraw(cell: Cell, { engine: own, curves, signal }: DrawTimingRequest): Promise<number> {
  const { depth, sampling, common } = cell;
  const { file, kept, process } = depth;
  const { batch, seed } = common;
  const engine = warmingEngine(own);
  const { cacheImages: _, ...measured } = sampling; // the images that curves were measured on
  const sampler = await compileSampler(
    {
      ...{ engine, model: file.model, weights: file.tensors, seed, batch },
      ...(kept && { runBlock: runOnly(kept) }),
      ...(signal && { signal }),
    },
    process,
    curves === undefined ? sampling : { ...measured, cacheCurves: curves },
  );
  const y = Int32Array.from({ length: batch }, (_, i) => i % file.model.config.numClasses);
  try {
    const draw = (evaluated: () => void) =>
      sampler.sample({
        ...{ first: 0, y, rows: batch },
        evaluated() {
          signal?.throwIfAborted();
          evaluated();
        },
      });
    // A MAR's inputs have another size in every iteration: only a whole batch has met them all.
    await untilWarm(draw, () => process.kind !== "tokens" && engine.isWarm());
    const started = performance.now();
    await draw(() => {});
    return (performance.now() - started) / 1000 / batch;
  } finally {
    await sampler.release();
  }
}

class Warm extends Error {}

/** Draws until the sampler is warm: after one evaluation of most, after more of one with several graphs. */
async function untilWarm(
  draw: (evaluated: () => void) => ReturnType<ImageSampler["sample"]>,
  isWarm: () => boolean,
): Promise<void> {
  try {
    await draw(() => {
      if (isWarm()) throw new Warm();
    });
  } catch (error) {
    if (!(error instanceof Warm)) throw error;
  }
}

/** `engine`, which knows whether all sessions that it compiled have run. */
function warmingEngine(engine: Engine): Engine & { isWarm(): boolean } {
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
