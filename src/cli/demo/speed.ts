/** How much faster the shallow model draws: both models in turn, so that a machine that slows down does not decide. */

import { median } from "../../evaluation/speed/timing.ts";
import { balancedLabels } from "../../sampling/generate.ts";
import { compileSampler, type ImageSampler } from "../../sampling/image-sampler.ts";
import type { LoadedModel } from "../../weights/model-file.ts";
import { type Demo, Stopped } from "./stages.ts";

const ROUNDS = 5;
const BATCH = 32;

/** Median over rounds of the time of `deep` ÷ the time of `shallow`, each drawing one batch in the demo's quick way. */
export async function speedRatio(demo: Demo, deep: LoadedModel, shallow: LoadedModel): Promise<number> {
  const samplers = [await compile(demo, deep), await compile(demo, shallow)] as const;
  try {
    for (const sampler of samplers) await seconds(sampler, demo);
    const ratios: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const [slow, fast] = [await seconds(samplers[0], demo), await seconds(samplers[1], demo)];
      ratios.push(slow / fast);
    }
    return median(ratios);
  } finally {
    await Promise.all(samplers.map((sampler) => sampler.release()));
  }
}

const compile = ({ engine, seed, plan }: Demo, { model, tensors, process }: LoadedModel): Promise<ImageSampler> =>
  compileSampler({ engine, model, weights: tensors, seed, batch: BATCH }, process, plan.quick.sampling);

async function seconds(sampler: ImageSampler, { context: { signal }, teacher }: Demo): Promise<number> {
  const y = balancedLabels(BATCH, teacher.model.config.numClasses);
  const started = performance.now();
  const onModelEvaluation = () => {
    if (signal.aborted) throw new Stopped();
  };
  await sampler.sample({ first: 0, y, rows: BATCH, onModelEvaluation });
  return (performance.now() - started) / 1000;
}
