/** Images by Gaussian diffusion: DDPM and DDIM steps on a respaced schedule. B internal batch, C channels, S side. */
import { InputError } from "../../array/input-error.ts";
import { int32, type NDArray } from "../../array/ndarray.ts";
import { type GaussianProcess, scheduleOf } from "../../diffusion/process.ts";
import { respace } from "../../diffusion/respace.ts";
import { reverseStep, type Sampler, sampleLoop, withGuidance } from "../../diffusion/samplers.ts";
import { input } from "../../graph/build.ts";
import { predictor } from "../../models/registry.ts";
import { Params } from "../../nn/params.ts";
import { placeWeights } from "../../weights/placed-weights.ts";
import type { ImageSampler, SamplerRequest } from "./image-sampler.ts";
import { drawNoise } from "./sample-noise.ts";

export interface GaussianSampling {
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

export const gaussianSamplers = ["ddim", "ddpm"] as const satisfies readonly Sampler["kind"][];

const isGaussianSampler = (name: string): name is Sampler["kind"] => gaussianSamplers.some((known) => known === name);

/** One guided reverse step as a session, and the loop over the schedule. */
export async function compileGaussianSampler(
  request: SamplerRequest,
  process: GaussianProcess,
  settings: GaussianSampling,
): Promise<ImageSampler> {
  const { model, engine, weights, batch, seed, runBlock } = request;
  const { steps, sampler, eta, clip, cfgScale, cfgChannels } = { ...gaussianDefaults, ...settings };
  const { inChannels, inputSize, numClasses } = model.config;
  if (!isGaussianSampler(sampler)) {
    throw new InputError(
      `generate: unknown sampler ${sampler} of Gaussian diffusion; expected one of ${gaussianSamplers.join(", ")}`,
    );
  }
  const channels = guidedChannels(cfgChannels, inChannels);
  const schedule = respace(scheduleOf(process), steps);
  const shape = [batch, inChannels, inputSize, inputSize];
  const { sample } = reverseStep(
    withGuidance(predictor(model, new Params(), runBlock), cfgScale, channels, numClasses),
    schedule,
    sampler === "ddim" ? { kind: "ddim", eta, clip } : { kind: "ddpm", clip },
    {
      x: input("x", shape),
      index: input("index", [batch], "int32"),
      y: input("y", [batch], "int32"),
      noise: input("noise", shape),
    },
  );
  const { fed, options } = placeWeights(weights);
  const session = await engine.compile({ outputs: { sample } }, options);
  const isNoisy = sampler === "ddpm" || eta !== 0;
  const count = schedule.betas.length;
  return {
    evaluations: count,
    settings: { steps, sampler, eta, clip, cfgScale, cfgChannels: channels },
    derived: { timesteps: [...schedule.timesteps] },
    release: () => session.release(),
    async sample({ first, y, rows, evaluated }) {
      const noiseOf = (step: number) => drawNoise({ seed, step, first, rows }, shape);
      return sampleLoop(schedule, noiseOf(0), async (x, index): Promise<NDArray> => {
        const noise = isNoisy ? { noise: noiseOf(count - index) } : {};
        const at = int32(new Int32Array(batch).fill(index));
        const { sample: next } = await session.run({ ...fed, ...noise, x, y: int32(y), index: at });
        evaluated();
        return next!;
      });
    },
  };
}

/** @throws InputError for more channels than there are. */
export function guidedChannels(channels: number | undefined, of: number): number {
  const guided = channels ?? of;
  if (Number.isInteger(guided) && guided >= 1 && guided <= of) return guided;
  throw new InputError(`generate: guidance of ${guided} channels, the model's noise has ${of}`);
}
