/** Images by Gaussian diffusion: DDPM, DDIM and DPM-Solver++ steps on a respaced schedule. B internal batch, C channels, S side. */
import { InputError } from "../array/input-error.ts";
import { int32 } from "../array/ndarray.ts";
import { type Predictor, withGuidance } from "../diffusion/predictor.ts";
import { type GaussianProcess, scheduleOf } from "../diffusion/process.ts";
import { multistep, reverseStep, sampleLoop } from "../diffusion/samplers.ts";
import { respace, type Schedule } from "../diffusion/schedule.ts";
import type { NamedArrays } from "../engine/engine.ts";
import { input } from "../graph/build.ts";
import type { Tensor } from "../graph/tensor.ts";
import { predictor } from "../models/registry.ts";
import { Params } from "../nn/params.ts";
import type { CacheSampling } from "./caching/cache-settings.ts";
import type { ImageSampler, SamplerRequest } from "./image-sampler.ts";
import { compileSamplingLoop, type SamplingLoop } from "./sampling-loop.ts";
import { requireUsable } from "./usable-images.ts";

export interface GaussianSampling extends CacheSampling {
  /** Which timesteps are visited: "ddim25", "250", "10,15,20". */
  readonly steps?: string;
  readonly sampler?: string;
  /** DDIM: 0 is deterministic, 1 as noisy as DDPM. */
  readonly eta?: number;
  /** Clips predicted x_0 to [−1, 1] at each step; right for pixels, wrong for latents. */
  readonly clip?: boolean;
  /** Classifier-free guidance; 1 is none and costs half. */
  readonly cfgScale?: number;
  /** Leading channels of the noise that are guided: all by default; the original guides 3 of 4. */
  readonly cfgChannels?: number;
}

/** The settings where a request says nothing. */
export const gaussianDefaults = { steps: "ddim25", sampler: "ddim", eta: 0, clip: false, cfgScale: 2 } as const;

/** `dpm++2m` is DPM-Solver++(2M), diffusers' `dpmsolver++` of order 2. */
export const gaussianSamplers = ["ddim", "ddpm", "dpm++2m"] as const;

type GaussianSampler = (typeof gaussianSamplers)[number];

const isGaussianSampler = (name: string): name is GaussianSampler => gaussianSamplers.some((known) => known === name);

interface StepSettings {
  readonly sampler: GaussianSampler;
  readonly eta: number;
  readonly clip: boolean;
}

/** One guided reverse step as a graph, and the loop over the schedule. */
export async function compileGaussianSampler(
  request: SamplerRequest,
  process: GaussianProcess,
  settings: GaussianSampling,
): Promise<ImageSampler> {
  const { model } = request;
  const { steps, eta, clip, cfgScale, cfgChannels } = { ...gaussianDefaults, ...settings };
  const { inChannels, inputSize, numClasses } = model.config;
  const sampler = samplerOf({ ...gaussianDefaults, ...settings });
  const channels = guidedChannels(cfgChannels, inChannels);
  const schedule = respace(scheduleOf(process), steps);
  const loop: SamplingLoop = {
    ...{ process, evaluations: schedule.betas.length, derived: { timesteps: [...schedule.timesteps] } },
    settings: { steps, sampler, eta, clip, cfgScale, cfgChannels: channels },
    outputs(batch, runBlock) {
      const guided = withGuidance(predictor(model, new Params(), runBlock), cfgScale, channels, numClasses);
      return stepOutputs(guided, schedule, { sampler, eta, clip }, [batch, inChannels, inputSize, inputSize]);
    },
    draw: drawSteps(schedule, { sampler, eta, clip }),
  };
  return compileSamplingLoop(request, loop, settings);
}

/** @throws InputError for a sampler that there is not, or noise that it does not draw. */
function samplerOf({ sampler, eta }: { readonly sampler: string; readonly eta: number }): GaussianSampler {
  if (!isGaussianSampler(sampler)) {
    throw new InputError(
      `generate: unknown sampler ${sampler} of Gaussian diffusion; expected one of ${gaussianSamplers.join(", ")}`,
    );
  }
  if (sampler !== "dpm++2m" || eta === 0) return sampler;
  throw new InputError(`generate: dpm++2m draws no noise in its steps, got eta ${eta}; leave it out, or use ddim`);
}

/**
 * The state after a step on x of `shape`; of a multistep also `xStart`, which the next one is fed as `previous`. Where x_0
 * is clipped also the model's own `prediction`: whatever it is, the state is an image.
 */
function stepOutputs(
  predicted: Predictor,
  schedule: Schedule,
  { sampler, eta, clip }: StepSettings,
  shape: readonly number[],
): Record<string, Tensor> {
  const rows = [shape[0]!];
  const inputs = { x: input("x", shape), index: input("index", rows, "int32"), y: input("y", rows, "int32") };
  const seen: { prediction?: Tensor } = {};
  const model: Predictor = (of) => {
    const prediction = predicted(of);
    if (clip) seen.prediction = prediction;
    return prediction;
  };
  if (sampler === "dpm++2m") {
    return { ...multistep(model, schedule, clip, { ...inputs, previous: input("previous", shape) }), ...seen };
  }
  const kind = sampler === "ddim" ? ({ kind: sampler, eta, clip } as const) : ({ kind: sampler, clip } as const);
  return { sample: reverseStep(model, schedule, kind, { ...inputs, noise: input("noise", shape) }).sample, ...seen };
}

function drawSteps(schedule: Schedule, { sampler, eta }: StepSettings): SamplingLoop["draw"] {
  const isNoisy = sampler === "ddpm" || eta !== 0;
  const count = schedule.betas.length;
  return (evaluate, { first, rows, y, noiseOf }) => {
    const start = noiseOf(0);
    let previous: NamedArrays = sampler === "dpm++2m" ? { previous: start } : {}; // which has no weight in the first step
    return sampleLoop(schedule, start, async (x, index) => {
      const noise = isNoisy ? { noise: noiseOf(count - index) } : {};
      const at = int32(new Int32Array(y.size).fill(index));
      const { sample, xStart, prediction } = await evaluate({ ...noise, ...previous, x, y, index: at });
      if (prediction) requireUsable({ first, images: prediction, labels: y.data.subarray(0, rows) });
      if (xStart) previous = { previous: xStart };
      return sample!;
    });
  };
}

/** @throws InputError for more channels than there are. */
export function guidedChannels(channels: number | undefined, of: number): number {
  const guided = channels ?? of;
  if (Number.isInteger(guided) && guided >= 1 && guided <= of) return guided;
  throw new InputError(`generate: guidance of ${guided} channels, the model's noise has ${of}`);
}
