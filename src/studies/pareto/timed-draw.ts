/** How long a cell takes to draw one image, now. */

import type { Engine } from "../../engine/engine.ts";
import { warmingEngine, warmUp } from "../../evaluation/speed/timing.ts";
import { runOnly } from "../../nn/run-block.ts";
import { withCurves } from "../../sampling/caching/cache-settings.ts";
import type { CacheCurves } from "../../sampling/caching/error-curves.ts";
import { balancedLabels } from "../../sampling/generate.ts";
import { compileSampler } from "../../sampling/image-sampler.ts";
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
  const sampler = await compileSampler(
    {
      ...{ engine, model: file.model, weights: file.tensors, seed, batch },
      ...(kept && { runBlock: runOnly(kept) }),
      ...(signal && { signal }),
    },
    process,
    withCurves(sampling, curves),
  );
  const whole = { first: 0, y: balancedLabels(batch, file.model.config.numClasses), rows: batch };
  try {
    await warmUp(sampler, { engine, process, batch: whole, signal });
    const started = performance.now();
    await sampler.sample({ ...whole, onModelEvaluation: () => signal?.throwIfAborted() });
    return (performance.now() - started) / 1000 / batch;
  } finally {
    await sampler.release();
  }
}
