/** AdamW on the host, for the few numbers (gates) that live there. Same arithmetic as `adamw.ts`, rounded to float32. */
import { type AdamWSettings, adamWStep, type UpdateScalars } from "./adamw.ts";

export interface HostVectors {
  readonly weights: Float32Array;
  readonly gradient: Float32Array;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
  readonly ema: Float32Array;
}

const round = Math.fround;

/** One update in place; `k` counts from 1. */
export function hostAdamW(vectors: HostVectors, settings: AdamWSettings, k: number, scalars: UpdateScalars): void {
  const { weights, gradient, firstMoment, secondMoment, ema } = vectors;
  const { beta1, beta2, epsilon } = settings;
  const { decay, stepSize, rootCorrection } = adamWStep(settings, k, scalars.learningRate);
  for (let i = 0; i < weights.length; i++) {
    const g = round(gradient[i]! * scalars.clip);
    const m = round(round(firstMoment[i]! * beta1) + round(g * (1 - beta1)));
    const v = round(round(secondMoment[i]! * beta2) + round(round(g * g) * (1 - beta2)));
    const denominator = round(round(round(Math.sqrt(v)) * rootCorrection) + epsilon);
    const w = round(round(weights[i]! * decay) - round(round(m / denominator) * stepSize));
    firstMoment[i] = m;
    secondMoment[i] = v;
    weights[i] = w;
    ema[i] = round(round(ema[i]! * scalars.emaDecay) + round(w * (1 - scalars.emaDecay)));
  }
}
