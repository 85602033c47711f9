/** The sampler of a process, and what is known of it before anything is compiled. */
import { InputError } from "../array/input-error.ts";
import { type GaussianProcess, type Process, type ProcessKind, scheduleOf } from "../diffusion/process.ts";
import { respace, type Schedule } from "../diffusion/schedule.ts";
import { int8Engine } from "../engine/int8-engine.ts";
import { lazyEngine } from "../engine/lazy-engine.ts";
import { guidanceFor } from "../models/family.ts";
import { int8Layers } from "../models/int8-layers.ts";
import { compileFlowSampler } from "./flow-sampler.ts";
import { compileGaussianSampler } from "./gaussian-sampler.ts";
import type { ImageSampler, SamplerRequest } from "./image-sampler.ts";
import {
  gaussianDefaults,
  recordedCache,
  recordedPrecision,
  type SamplingSettings,
  tokenDefaults,
} from "./sampling-settings.ts";
import { compileTokenSampler } from "./token-sampler.ts";
import { requireUsable } from "./usable-images.ts";

type Of<K extends ProcessKind> = Extract<Process, { kind: K }>;
type Compile<P> = (request: SamplerRequest, process: P, settings: SamplingSettings) => Promise<ImageSampler>;

const samplers: { readonly [K in ProcessKind]: Compile<Of<K>> } = {
  gaussian: compileGaussianSampler,
  flow: compileFlowSampler,
  tokens: compileTokenSampler,
};

/**
 * The sampler of a process; what it samples is checked.
 * @throws InputError for settings that do not fit the process, or guidance that the model cannot have; DivergedError, while
 *   sampling, for what is no image.
 */
export async function compileSampler(
  request: SamplerRequest,
  process: Process,
  settings: SamplingSettings,
): Promise<ImageSampler> {
  const compile = samplers[process.kind] as Compile<Process>;
  const { model } = request;
  const engine = settings.precision === "int8" ? int8Engine(request.engine, int8Layers(model)) : request.engine;
  const sampler = await compile({ ...request, engine }, process, guidanceFor(model.config, settings));
  return {
    ...sampler,
    settings: { ...sampler.settings, ...recordedPrecision(settings.precision) },
    async sample(batch) {
      const images = await sampler.sample(batch);
      requireUsable({ first: batch.first, images, labels: batch.y.subarray(0, batch.rows) });
      return images;
    },
  };
}

/**
 * What a sampler will do: its settings with all defaults, and its model evaluations of a batch; nothing is compiled, no weight
 * is quantized, and a cache measures nothing.
 * @throws InputError for settings that do not fit the process.
 */
export async function plannedSampling(
  { engine, ...request }: Omit<SamplerRequest, "batch">,
  process: Process,
  { cache, cacheImages, cacheCurves, cacheHistory, precision, ...others }: SamplingSettings,
): Promise<Pick<ImageSampler, "settings" | "modelEvaluations">> {
  const sampler = await compileSampler({ ...request, engine: lazyEngine(engine), batch: 2 }, process, others);
  await sampler.release();
  const { settings, modelEvaluations } = sampler;
  const given = { ...(cache !== undefined && { cache }), ...(cacheImages !== undefined && { cacheImages }) };
  const past = cacheHistory === undefined ? {} : { cacheHistory };
  const recorded = recordedCache({ ...given, ...past, ...(cacheCurves && { cacheCurves }) });
  return { modelEvaluations, settings: { ...settings, ...recorded, ...recordedPrecision(precision) } };
}

/**
 * x_0 is predicted as (x − √(1 − ᾱ) ε) / √ᾱ, so an error of ε is divided by √ᾱ. The linear schedule begins at ᾱ = 4e-5 at
 * the least, the cosine one at 2e-9; samples of the packaged digit model are noise from there and digits from 2e-5 on.
 */
const SMALLEST_ALPHA_BAR = 5e-6;

const isSmall = ({ alphasCumprod }: Schedule): boolean => alphasCumprod.at(-1)! < SMALLEST_ALPHA_BAR;

/**
 * A warning, with what to choose instead, where sampling begins at a timestep that multiplies a model's error by thousands:
 * that ends in noise however good the model is. @throws InputError for steps that do not exist.
 */
export function firstStepWarning(process: Process, settings: SamplingSettings): string | undefined {
  if (process.kind === "flow" || (process.kind === "gaussian" && settings.clip)) return undefined;
  const isToken = process.kind === "tokens";
  const steps = isToken ? (settings.headSteps ?? tokenDefaults.headSteps) : (settings.steps ?? gaussianDefaults.steps);
  const schedule = respace(scheduleOf(process), steps);
  if (!isSmall(schedule)) return undefined;
  const alphaBar = schedule.alphasCumprod.at(-1)!;
  const instead = steadySteps(process, schedule.betas.length);
  return (
    `${isToken ? "`headSteps`" : "`steps`"} ${steps} begins at timestep ${schedule.timesteps.at(-1)}, where alphaBar is ` +
    `${alphaBar.toExponential(1)} and an error of the model is multiplied by ${Math.round(1 / Math.sqrt(alphaBar))}: expect noise ` +
    `unless the model is very good; use ${isToken ? `\`headSteps\` ${instead}` : `\`steps\` ${instead}, or \`clip\` for images that are no latents`}`
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
