/** Images by Gaussian diffusion: DDPM, DDIM and DPM-Solver++ steps on a respaced schedule. B internal batch, C channels, S side. */
import { InputError } from "../array/input-error.ts";

import { int32 } from "../array/ndarray.ts";
import { type Predictor, withGuidance } from "../diffusion/predictor.ts";
import { type GaussianProcess, scheduleOf } from "../diffusion/process.ts";
import { multistep, reverseStep } from "../diffusion/samplers.ts";

import { respace, type Schedule } from "../diffusion/schedule.ts";

import { type DeviceArray, type Inputs, readAll } from "../engine/engine.ts";

import { input } from "../graph/build.ts";

import type { Tensor } from "../graph/tensor.ts";

import { predictor } from "../models/registry.ts";

import { Params } from "../nn/params.ts";

import type { ImageSampler, SamplerRequest, SamplingLoop } from "./image-sampler.ts";
import { compileSamplingLoop } from "./sampling-loop.ts";

import { gaussianDefaults, gaussianSamplers, guidedChannels, type SamplingSettings } from "./sampling-settings.ts";

import { requireUsable } from "./usable-images.ts";

interface StepSettings {
  readonly sampler: (typeof gaussianSamplers)[number];
  readonly eta: number;
  readonly clip: boolean;
}

/** One guided reverse step as a graph, and the loop over the schedule. */
export async function compileGaussianSampler(
  request: SamplerRequest,
  process: GaussianProcess,
  settings: SamplingSettings,
): Promise<ImageSampler> {
  const { model } = request;
  const { steps, sampler: name, eta, clip, cfgScale, cfgChannels } = { ...gaussianDefaults, ...settings };
  const { inChannels, inputSize, numClasses } = model.config;
  const sampler = samplerOf(name, eta);
  const channels = guidedChannels(cfgChannels, inChannels);
  const schedule = respace(scheduleOf(process), steps);
  const loop: SamplingLoop = {
    process,
    modelEvaluations: schedule.betas.length,
    derived: { timesteps: [...schedule.timesteps] },
    settings: { steps, sampler, eta, clip, cfgScale, cfgChannels: channels },
    outputs(batch, runBlock) {
      const guided = withGuidance(predictor(model, new Params(), runBlock), cfgScale, channels, numClasses);
      return stepOutputs(guided, schedule, { sampler, eta, clip }, [batch, inChannels, inputSize, inputSize]);
    },
    donate: sampler === "dpm++2m" ? ["x", "previous"] : ["x"],
    sample: sampleSteps(schedule, sampler, eta),
  };
  return compileSamplingLoop(request, loop, settings);
}

/** @throws InputError for an unknown sampler, or noise that it does not add. */
function samplerOf(name: string, eta: number): StepSettings["sampler"] {
  const sampler = gaussianSamplers.find((known) => known === name);
  if (!sampler) {
    throw new InputError(
      `generate: unknown sampler ${name} of Gaussian diffusion; expected one of ${gaussianSamplers.join(", ")}`,
    );
  }
  if (sampler !== "dpm++2m" || eta === 0) return sampler;
  throw new InputError(`generate: dpm++2m draws no noise in its steps, got eta ${eta}; leave it out, or use ddim`);
}

/**
 * The state after a step on `x` of `shape`; of a multistep also x_0 as it predicted it, the `previous` of the next one. Where
 * x_0 is clipped also the model's own `prediction`: whatever it is, the state is an image.
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
    const { sample, xStart } = multistep(model, schedule, clip, { ...inputs, previous: input("previous", shape) });
    return { x: sample, previous: xStart, ...seen };
  }
  const kind = sampler === "ddim" ? ({ kind: sampler, eta, clip } as const) : ({ kind: sampler, clip } as const);
  return { x: reverseStep(model, schedule, kind, { ...inputs, noise: input("noise", shape) }).sample, ...seen };
}

function sampleSteps(schedule: Schedule, sampler: StepSettings["sampler"], eta: number): SamplingLoop["sample"] {
  const isNoisy = sampler === "ddpm" || eta !== 0;
  const count = schedule.betas.length;
  return async (evaluate, { first, rows, y, noiseOf }) => {
    let state: Inputs = { x: noiseOf(0) };
    if (sampler === "dpm++2m") state = { ...state, previous: noiseOf(0) }; // which has no weight in the first step
    for (let index = count - 1; index >= 0; index--) {
      const noise = isNoisy ? { noise: noiseOf(count - index) } : {};
      const at = int32(new Int32Array(y.size).fill(index));
      const { prediction, ...next } = await evaluate({ ...noise, ...state, y, index: at });
      state = next;
      if (!prediction) continue;
      requireUsable({ first, images: await prediction.read(), labels: y.data.subarray(0, rows) });
      prediction.release();
    }
    const { x } = await readAll(state as Record<string, DeviceArray>);
    return x!;
  };
}
