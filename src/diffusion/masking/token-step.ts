/** One reverse step of generating tokens, as a graph. P tokens of C numbers each, conditions of D numbers. */
import { mul } from "../../graph/build.ts";
import { fixedDim, type Tensor } from "../../graph/tensor.ts";
import { guidedPrediction } from "../guidance.ts";
import type { Model } from "../model.ts";
import { reverseStep } from "../samplers.ts";
import type { Schedule } from "../schedule.ts";
import { asImages, asTokens, type TokenDenoiser } from "./token-loss.ts";

export interface TokenStepInputs {
  /** [P, C] */
  readonly x: Tensor;
  /** The step within the schedule, int32 [P]. */
  readonly index: Tensor;
  /** [P, C] */
  readonly noise: Tensor;
  /** [P, D] */
  readonly z: Tensor;
  readonly guidance?: TokenGuidance;
}

/** The conditions without a label [P, D], and how far to go from their prediction to the labelled one (1: all the way). */
export interface TokenGuidance {
  readonly z: Tensor;
  readonly scale: number | Tensor;
}

/** x_{t−1} [P, C] and predicted x_0 by DDPM; `temperature` scales the noise that is added (Li et al. 2024, section 3.2). */
export function tokenStep(
  denoiser: TokenDenoiser,
  schedule: Schedule,
  { x, index, noise, z, guidance }: TokenStepInputs,
  temperature = 1,
): { sample: Tensor; xStart: Tensor } {
  const denoise = guidance ? guidedTokens(denoiser, guidance) : denoiser;
  const model: Model = (inputs) => asImages(denoise({ x: asTokens(inputs.x), t: inputs.t, z }));
  const inputs = { x: asImages(x), index, noise: asImages(mul(noise, temperature)), y: index }; // y: not read, z is the label
  const { sample, xStart } = reverseStep(model, schedule, { kind: "ddpm", clip: false }, inputs);
  return { sample: asTokens(sample), xStart: asTokens(xStart) };
}

/**
 * A denoiser whose noise is guided in all channels; the variance is the labelled one. The original carries the unlabelled
 * half along as states of their own and throws them away.
 */
function guidedTokens(denoiser: TokenDenoiser, guidance: TokenGuidance): TokenDenoiser {
  return ({ x, t, z }) =>
    guidedPrediction(denoiser({ x, t, z }), denoiser({ x, t, z: guidance.z }), guidance.scale, fixedDim(x, 1));
}
