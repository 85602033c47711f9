/** Whether sampling begins where a model's error is multiplied by thousands, which ends in noise however good the model is. */
import { InputError } from "../array/input-error.ts";
import { type GaussianProcess, type Process, scheduleOf } from "../diffusion/process.ts";
import { respace, type Schedule } from "../diffusion/schedule.ts";
import { gaussianDefaults } from "./gaussian-sampler.ts";
import type { SamplingSettings } from "./image-sampler.ts";
import { tokenDefaults } from "./token-sampler.ts";

/**
 * x_0 is predicted as (x − √(1 − ᾱ) ε) / √ᾱ, so an error of ε is divided by √ᾱ. The linear schedule begins at ᾱ = 4e-5 at
 * the least, the cosine one at 2e-9; samples of the packaged digit model are noise from there and digits from 2e-5 on.
 */
const SMALLEST_ALPHA_BAR = 5e-6;

const isSmall = ({ alphasCumprod }: Schedule): boolean => alphasCumprod.at(-1)! < SMALLEST_ALPHA_BAR;

/** A sentence with what to choose instead; undefined where the first step is none of these. @throws InputError for steps that do not exist. */
export function firstStepWarning(process: Process, settings: SamplingSettings): string | undefined {
  if (process.kind === "flow" || (process.kind === "gaussian" && settings.clip)) return undefined;
  const isToken = process.kind === "tokens";
  const steps = isToken ? (settings.headSteps ?? tokenDefaults.headSteps) : (settings.steps ?? gaussianDefaults.steps);
  const schedule = respace(scheduleOf(process), steps);
  if (!isSmall(schedule)) return undefined;
  const alphaBar = schedule.alphasCumprod.at(-1)!;
  const instead = steadySteps(process, schedule.betas.length);
  return (
    `${isToken ? "--head-steps" : "--steps"} ${steps} begins at timestep ${schedule.timesteps.at(-1)}, where alphaBar is ` +
    `${alphaBar.toExponential(1)} and an error of the model is multiplied by ${Math.round(1 / Math.sqrt(alphaBar))}: expect noise ` +
    `unless the model is very good; use ${isToken ? `--head-steps ${instead}` : `--steps ${instead}, or --clip for images that are no latents`}`
  );
}

/** At most so many steps, spaced as DDIM's, that begin where a prediction can be trusted. */
export function steadySteps(process: Pick<GaussianProcess, "schedule" | "steps">, most: number): string {
  const whole = scheduleOf(process);
  for (let count = Math.min(most, process.steps); count > 0; count--) {
    const spec = `ddim${count}`;
    try {
      if (!isSmall(respace(whole, spec))) return spec;
    } catch (error) {
      if (!(error instanceof InputError)) throw error; // no stride gives this count
    }
  }
  return String(Math.min(most, process.steps));
}
