/** How long a cell takes to sample one image, now. */

import type { Engine } from "../../engine/engine.ts";
import { secondsOf, warmSampler } from "../../evaluation/speed/timing.ts";
import { runOnly } from "../../nn/run-block.ts";
import { balancedLabels } from "../../sampling/generate.ts";
import { type CacheCurves, withCurves } from "../../sampling/sampling-settings.ts";
import type { Cell } from "./grid.ts";

export interface DrawTimingRequest {
  readonly engine: Engine;
  /** What a cache was measured to change, of a cell that has one; without it the cache measures again. */
  readonly curves?: CacheCurves;
  readonly signal?: AbortSignal;
}

/**
 * Seconds of an image of one batch, sampled to its end. Compilation is not in it, nor the first run of any graph.
 * @throws the signal's reason if aborted.
 */
export async function timedDraw(cell: Cell, { engine, curves, signal }: DrawTimingRequest): Promise<number> {
  const { depth, sampling, common } = cell;
  const { file, kept, process } = depth;
  const { batch, seed } = common;
  const request = {
    engine,
    model: file.model,
    weights: file.tensors,
    seed,
    batch,
    ...(kept && { runBlock: runOnly(kept) }),
    ...(signal && { signal }),
  };
  const sampler = await warmSampler(request, process, withCurves(sampling, curves));
  try {
    const y = balancedLabels(batch, file.model.config.numClasses);
    const onModelEvaluation = () => signal?.throwIfAborted();
    return (await secondsOf(() => sampler.sample({ first: 0, y, rows: batch, onModelEvaluation }))) / batch;
  } finally {
    await sampler.release();
  }
}
