/** How a program that loads the files should sample if nobody says otherwise: settings with everything that follows from them. */
import { InputError } from "../array/input-error.ts";
import { odeMethods, timeGrid } from "../diffusion/flow/ode.ts";
import { odeInterval } from "../diffusion/flow/path.ts";
import { guidanceScaleAt, maskLengths } from "../diffusion/masking/masks.ts";
import {
  type GaussianProcess,
  type NamedFlow,
  type Process,
  scheduleOf,
  type TokenProcess,
} from "../diffusion/process.ts";
import { respace } from "../diffusion/schedule.ts";
import { tokenCount } from "../models/family.ts";
import type { MarConfig } from "../models/mar/config.ts";
import type { Model } from "../models/registry.ts";
import {
  flowDefaults,
  gaussianDefaults,
  refuseCache,
  type SamplingSettings,
  tokenDefaults,
} from "../sampling/sampling-settings.ts";

type Facts = Readonly<Record<string, unknown>>;

/** @throws InputError for settings that do not fit the model, or that the exported functions cannot serve. */
export function samplingDefaults(model: Model, process: Process, settings: SamplingSettings): Facts {
  refuseCache(settings, "the exported files are whole models, without inputs for branches of an evaluation before");
  switch (process.kind) {
    case "gaussian":
      return gaussian(process, settings);
    case "flow":
      return flow(process, settings);
    case "tokens":
      return tokens(model.config as unknown as MarConfig, process, settings);
  }
}

/** Those that need no more than the step at hand, so that a loop of a few lines serves them. */
const oneStepSamplers = ["ddim", "ddpm"] as const;

/** `timesteps` ascending; sampling goes through them from the last to the first. */
function gaussian(process: GaussianProcess, settings: SamplingSettings): Facts {
  const { steps, sampler, eta, clip, cfgScale } = { ...gaussianDefaults, ...settings };
  checkSampler(sampler, oneStepSamplers);
  return { sampler, steps, timesteps: [...respace(scheduleOf(process), steps).timesteps], eta, clip, cfgScale };
}

/** `times` from noise to data. SDEs need a score, and adaptive steps have no times to tell. */
function flow(process: NamedFlow, settings: SamplingSettings): Facts {
  const { steps, sampler, cfgScale } = { ...flowDefaults, ...settings };
  checkSampler(sampler, odeMethods);
  if (!/^\d+$/.test(steps))
    throw new InputError(`export: steps of a flow are a number of points in time, got "${steps}"`);
  return { sampler, steps, times: [...timeGrid(odeInterval(process), Number(steps))], cfgScale };
}

/** `maskedTokens` after each iteration and its `cfgScales`; `timesteps` of each token's denoising as of Gaussian diffusion. */
function tokens(config: MarConfig, process: TokenProcess, settings: SamplingSettings): Facts {
  const { steps, headSteps, temperature, cfgScale, cfgSchedule } = { ...tokenDefaults, ...settings };
  const count = tokenCount(config);
  const maskedTokens = maskLengths(count, Number(steps));
  const cfgScales = maskedTokens.map((masked) => guidanceScaleAt(cfgScale, cfgSchedule, count, masked));
  const { timesteps } = respace(scheduleOf(process), headSteps);
  return {
    steps,
    maskedTokens,
    cfgScale,
    cfgSchedule,
    cfgScales,
    headSteps,
    timesteps: [...timesteps],
    temperature,
  };
}

function checkSampler(sampler: string, known: readonly string[]): void {
  if (known.includes(sampler)) return;
  throw new InputError(
    `export: pipeline.json can name the samplers ${known.join(", ")} for this model, not ${sampler}`,
  );
}
