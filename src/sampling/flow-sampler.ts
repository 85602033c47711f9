/** Images by a flow: its ODE with fixed or adaptive steps, or an SDE. B internal batch, C channels, S side. */
import { InputError } from "../array/input-error.ts";
import type { NDArray } from "../array/ndarray.ts";
import { adaptiveDefaults, integrateAdaptive } from "../diffusion/flow/dopri5.ts";
import { integrateFixed, timeGrid } from "../diffusion/flow/ode.ts";
import { odeInterval } from "../diffusion/flow/path.ts";
import { flowField } from "../diffusion/flow/prediction.ts";
import {
  type DiffusionForm,
  integrateSde,
  type LastStep,
  type SdeSettings,
  sdeDefaults,
  sdeEvaluations,
  sdeTimes,
} from "../diffusion/flow/sde.ts";
import { withGuidance } from "../diffusion/predictor.ts";
import type { FlowProcess } from "../diffusion/process.ts";
import { input } from "../graph/build.ts";
import { predictor } from "../models/registry.ts";
import { Params } from "../nn/params.ts";
import type { CacheSampling } from "./caching/cache-settings.ts";
import { guidedChannels } from "./gaussian-sampler.ts";
import type { ImageSampler, SamplerRequest } from "./image-sampler.ts";
import type { NoisyBatch } from "./sample-noise.ts";
import { compileSamplingLoop, type SamplingLoop } from "./sampling-loop.ts";

export const flowSamplers = ["euler", "heun", "dopri5", "euler-maruyama", "stochastic-heun"] as const;

export interface FlowSampling extends CacheSampling {
  /** Points in time; one step less than points. The adaptive sampler has none. */
  readonly steps?: string;
  readonly sampler?: string;
  /** Classifier-free guidance; 1 is none and costs half. */
  readonly cfgScale?: number;
  /** Leading channels of the prediction that are guided: all by default; the original guides 3 of 4. */
  readonly cfgChannels?: number;
  /** Tolerances of the adaptive sampler, and whose error decides on a step. */
  readonly rtol?: number;
  readonly atol?: number;
  readonly dopriNorm?: "sample" | "batch";
  /** Noise of the SDE over time, its scale, and how the last stretch is done. */
  readonly diffusionForm?: DiffusionForm;
  readonly diffusionNorm?: number;
  readonly lastStep?: LastStep;
  readonly lastStepSize?: number;
}

/** The settings where a request says nothing; those of the SDEs are the original's. */
export const flowDefaults = { steps: "25", sampler: "heun", cfgScale: 2 } as const;

type FlowPlanSettings = FlowSampling & { readonly sampler: string; readonly steps: string };

/** Velocity and score as one graph, and the host loop of the chosen integrator. */
export async function compileFlowSampler(
  request: SamplerRequest,
  process: FlowProcess,
  settings: FlowSampling,
): Promise<ImageSampler> {
  const { model } = request;
  const { cfgScale, cfgChannels, sampler, steps } = { ...flowDefaults, ...settings };
  const { inChannels, inputSize, numClasses } = model.config;
  const channels = guidedChannels(cfgChannels, inChannels);
  const plan = planOf(process, { ...settings, sampler, steps });
  const loop: SamplingLoop = {
    ...{ process, evaluations: plan.evaluations, derived: plan.derived },
    settings: { ...plan.settings, steps, sampler, cfgScale, cfgChannels: channels },
    outputs(batch, runBlock) {
      const guided = withGuidance(predictor(model, new Params(), runBlock), cfgScale, channels, numClasses);
      const inputs = {
        x: input("x", [batch, inChannels, inputSize, inputSize]),
        ...{ t: input("t", [batch]), y: input("y", [batch], "int32") },
      };
      const { velocity, score } = flowField(guided, process, inputs);
      return isSde(sampler) ? { velocity, score } : { velocity };
    },
    draw(evaluate, batch) {
      const field = async (x: NDArray, t: NDArray) => {
        const { velocity, score } = await evaluate({ x, t, y: batch.y });
        return { velocity: velocity!, score: score! };
      };
      return plan.draw(field, batch.noiseOf(0), batch);
    },
  };
  return compileSamplingLoop(request, loop, settings);
}

type Field = (x: NDArray, t: NDArray) => Promise<{ velocity: NDArray; score: NDArray }>;

/** How a batch is integrated, and how many evaluations that takes if it is known. */
interface Plan {
  readonly evaluations: number | undefined;
  readonly settings: FlowSampling;
  readonly derived: Readonly<Record<string, unknown>>;
  readonly draw: (field: Field, start: NDArray, batch: NoisyBatch) => Promise<NDArray>;
}

const isSde = (sampler: string): boolean => sampler === "euler-maruyama" || sampler === "stochastic-heun";

/** @throws InputError for a sampler that there is not, or settings that would divide by zero. */
function planOf(process: FlowProcess, settings: FlowPlanSettings): Plan {
  const { sampler } = settings;
  if (isSde(sampler)) return sdePlan(process, settings);
  const interval = odeInterval(process);
  if (sampler === "dopri5") {
    const { rtol = adaptiveDefaults.rtol, atol = adaptiveDefaults.atol, dopriNorm = adaptiveDefaults.norm } = settings;
    return {
      evaluations: undefined,
      settings: { rtol, atol, dopriNorm },
      derived: { interval },
      async draw(field, start, { rows }) {
        const velocity = async (x: NDArray, t: NDArray) => (await field(x, t)).velocity;
        return (await integrateAdaptive(velocity, start, interval, { rtol, atol, norm: dopriNorm }, rows)).x;
      },
    };
  }
  if (sampler !== "euler" && sampler !== "heun") {
    throw new InputError(`generate: unknown sampler ${sampler} of a flow; expected one of ${flowSamplers.join(", ")}`);
  }
  const times = timeGrid(interval, pointsOf(settings.steps));
  return {
    evaluations: (times.length - 1) * (sampler === "heun" ? 2 : 1),
    settings: {},
    derived: { times: [...times] },
    draw: (field, start) => integrateFixed(async (x, t) => (await field(x, t)).velocity, start, times, sampler),
  };
}

function sdePlan(process: FlowProcess, settings: FlowPlanSettings): Plan {
  const { diffusionForm = sdeDefaults.form, diffusionNorm = sdeDefaults.norm } = settings;
  const { lastStep = sdeDefaults.lastStep, lastStepSize = sdeDefaults.lastStepSize } = settings;
  const sde: SdeSettings = {
    method: settings.sampler === "stochastic-heun" ? "heun" : "euler",
    ...{ form: diffusionForm, norm: diffusionNorm, lastStep, lastStepSize, points: pointsOf(settings.steps) },
  };
  return {
    evaluations: sdeEvaluations(sde),
    settings: { diffusionForm, diffusionNorm, lastStep, lastStepSize },
    derived: { times: [...sdeTimes(process, sde)] },
    draw: (field, start, { noiseOf }) => integrateSde(field, start, process, sde, (k) => noiseOf(k + 1)),
  };
}

/** @throws InputError for anything but a whole number. */
function pointsOf(steps: string): number {
  if (/^\d+$/.test(steps)) return Number(steps);
  throw new InputError(`generate: steps of a flow are a number of points in time, got "${steps}"`);
}
