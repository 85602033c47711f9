/** Compiles samplers that ask one graph for every model evaluation, with or without a cache of its branches. */

import { compileStepCache } from "./caching/step-cache.ts";
import {
  type ImageSampler,
  type LoopSessions,
  noisyBatch,
  type SamplerRequest,
  type SamplingLoop,
} from "./image-sampler.ts";
import { recordedCache, type SamplingSettings } from "./sampling-settings.ts";

/** @throws InputError for a cache that does not fit the sampler. */
export async function compileSamplingLoop(
  request: SamplerRequest,
  loop: SamplingLoop,
  settings: SamplingSettings,
): Promise<ImageSampler> {
  const { model, seed } = request;
  const cached = await compileStepCache(request, loop, settings);
  const sessions = cached ?? (await compileOneProgram(request, loop));
  return {
    modelEvaluations: loop.modelEvaluations,
    settings: { ...loop.settings, ...recordedCache(settings) },
    derived: { ...loop.derived, ...(cached && { cache: cached.record }) },
    async release() {
      await sessions.release();
      await loop.release?.();
    },
    sample({ onModelEvaluation, ...batch }) {
      const evaluate = sessions.begin();
      return loop.sample(
        async (inputs) => {
          const outputs = await evaluate(inputs);
          onModelEvaluation();
          return outputs;
        },
        noisyBatch(model.config, batch, { seed }),
      );
    },
  };
}

/** One program for all model evaluations. */
async function compileOneProgram(
  { engine, weights, batch, runBlock }: SamplerRequest,
  loop: SamplingLoop,
): Promise<LoopSessions> {
  const { donate = [] } = loop;
  const program = await engine.compile({ outputs: loop.outputs(batch, runBlock) }, { constants: weights, donate });
  return { begin: () => (inputs) => program.run(inputs), release: () => program.release() };
}
