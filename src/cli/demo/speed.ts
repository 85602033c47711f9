/** How many times as fast the shallow model samples, both models in turn. */
import { medianRatio, timeInTurns } from "../../evaluation/speed/timing.ts";
import { compileSampler } from "../../sampling/compile-sampler.ts";
import { balancedLabels } from "../../sampling/generate.ts";
import type { ImageSampler } from "../../sampling/image-sampler.ts";
import type { LoadedModel } from "../../weights/model-file.ts";
import { type Demo, Stopped } from "./stages.ts";

const ROUNDS = 5;
const BATCH = 32;

/** Median over rounds of the time of `deep` ÷ the time of `shallow`, each sampling one batch in the demo's quick way. */
export async function speedRatio(demo: Demo, deep: LoadedModel, shallow: LoadedModel): Promise<number> {
  const { engine, seed, plan, teacher, context } = demo;
  const samplers: ImageSampler[] = [];
  const y = balancedLabels(BATCH, teacher.model.config.numClasses);
  const onModelEvaluation = () => {
    if (context.signal.aborted) throw new Stopped();
  };
  const sample = (sampler: ImageSampler) => sampler.sample({ first: 0, y, rows: BATCH, onModelEvaluation });
  try {
    for (const { model, tensors: weights, process } of [deep, shallow]) {
      const request = { engine, model, weights, seed, batch: BATCH };
      samplers.push(await compileSampler(request, process, plan.quick.sampling));
    }
    for (const sampler of samplers) await sample(sampler); // the first runs are not timed
    const [slow, fast] = await timeInTurns(samplers, ROUNDS, sample);
    return medianRatio(slow!, fast!);
  } finally {
    for (const sampler of samplers) await sampler.release();
  }
}
