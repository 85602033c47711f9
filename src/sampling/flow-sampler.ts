/** Images by a flow: its ODE with fixed or adaptive steps, or an SDE. B internal batch, C channels, S side. */
import { InputError } from "../array/input-error.ts";

import type { NDArray } from "../array/ndarray.ts";

import { adaptiveDefaults, integrateAdaptive } from "../diffusion/flow/dopri5.ts";
import { type EvaluateVelocity, integrateFixed, timeGrid } from "../diffusion/flow/ode.ts";
import { odeInterval } from "../diffusion/flow/path.ts";

import { flowField } from "../diffusion/flow/prediction.ts";
import {
  type EvaluateField,
  integrateSde,
  type SdeSettings,
  sdeDefaults,
  sdeEvaluations,
  sdeTimes,
} from "../diffusion/flow/sde.ts";
import { States } from "../diffusion/flow/states.ts";
import { withGuidance } from "../diffusion/predictor.ts";
import type { FlowProcess } from "../diffusion/process.ts";

import { input } from "../graph/build.ts";

import { predictor } from "../models/registry.ts";

import { Params } from "../nn/params.ts";

import type { ImageSampler, NoisyBatch, SamplerRequest, SamplingLoop } from "./image-sampler.ts";
import { compileSamplingLoop } from "./sampling-loop.ts";

import { flowDefaults, flowSamplers, guidedChannels, type SamplingSettings, wholeSteps } from "./sampling-settings.ts";

type PlanSettings = SamplingSettings & { readonly sampler: string; readonly steps: string };

/** Velocity and score as one graph, and the loop of the chosen integrator. */
export async function compileFlowSampler(
  request: SamplerRequest,
  process: FlowProcess,
  settings: SamplingSettings,
): Promise<ImageSampler> {
  const { model } = request;
  const { cfgScale, cfgChannels, sampler, steps } = { ...flowDefaults, ...settings };
  const { inChannels, inputSize, numClasses } = model.config;
  const channels = guidedChannels(cfgChannels, inChannels);
  const plan = planOf(process, { ...settings, sampler, steps });
  const states = new States(request.engine);
  const loop: SamplingLoop = {
    process,
    modelEvaluations: plan.modelEvaluations,
    derived: plan.derived,
    settings: { ...plan.settings, steps, sampler, cfgScale, cfgChannels: channels },
    outputs(batch, runBlock) {
      const guided = withGuidance(predictor(model, new Params(), runBlock), cfgScale, channels, numClasses);
      const x = input("x", [batch, inChannels, inputSize, inputSize]);
      const inputs = { x, t: input("t", [batch]), y: input("y", [batch], "int32") };
      const { velocity, score } = flowField(guided, process, inputs);
      return isSde(sampler) ? { velocity, score } : { velocity };
    },
    sample(evaluate, batch) {
      const field: EvaluateField = async (x, t) => {
        const { velocity, score } = await evaluate({ x, t, y: batch.y });
        return { velocity: velocity!, score: score! };
      };
      return plan.sample(states, field, batch.noiseOf(0), batch);
    },
    release: () => states.release(),
  };
  return compileSamplingLoop(request, loop, settings);
}

/** The velocity of a field. */
const velocityOf =
  (field: EvaluateField): EvaluateVelocity =>
  async (x, t) =>
    (await field(x, t)).velocity;

/** How a batch is integrated, and how many model evaluations that takes if it is known. */
interface Plan {
  readonly modelEvaluations: number | undefined;
  readonly settings: SamplingSettings;
  readonly derived: Readonly<Record<string, unknown>>;
  readonly sample: (states: States, field: EvaluateField, start: NDArray, batch: NoisyBatch) => Promise<NDArray>;
}

const pointsOf = (steps: string): number => wholeSteps(steps, "a flow are a number of points in time");

const isSde = (sampler: string): boolean => sampler === "euler-maruyama" || sampler === "stochastic-heun";

/** @throws InputError for a sampler that there is not, or settings that would divide by zero. */
function planOf(process: FlowProcess, settings: PlanSettings): Plan {
  const { sampler } = settings;
  if (isSde(sampler)) return sdePlan(process, settings);
  const interval = odeInterval(process);
  if (sampler === "dopri5") {
    const { rtol = adaptiveDefaults.rtol, atol = adaptiveDefaults.atol, dopriNorm = adaptiveDefaults.norm } = settings;
    return {
      modelEvaluations: undefined,
      settings: { rtol, atol, dopriNorm },
      derived: { interval },
      async sample(states, field, start, { rows }) {
        const tolerance = { rtol, atol, norm: dopriNorm };
        return (await integrateAdaptive(states, velocityOf(field), start, interval, tolerance, rows)).x;
      },
    };
  }
  if (sampler !== "euler" && sampler !== "heun") {
    throw new InputError(`generate: unknown sampler ${sampler} of a flow; expected one of ${flowSamplers.join(", ")}`);
  }
  const times = timeGrid(interval, pointsOf(settings.steps));
  return {
    modelEvaluations: (times.length - 1) * (sampler === "heun" ? 2 : 1),
    settings: {},
    derived: { times: [...times] },
    sample: (states, field, start) => integrateFixed(states, velocityOf(field), start, times, sampler),
  };
}

function sdePlan(process: FlowProcess, settings: PlanSettings): Plan {
  const { diffusionForm = sdeDefaults.form, diffusionNorm = sdeDefaults.norm } = settings;
  const { lastStep = sdeDefaults.lastStep, lastStepSize = sdeDefaults.lastStepSize } = settings;
  const sde: SdeSettings = {
    method: settings.sampler === "stochastic-heun" ? "heun" : "euler",
    form: diffusionForm,
    norm: diffusionNorm,
    lastStep,
    lastStepSize,
    points: pointsOf(settings.steps),
  };
  return {
    modelEvaluations: sdeEvaluations(sde),
    settings: { diffusionForm, diffusionNorm, lastStep, lastStepSize },
    derived: { times: [...sdeTimes(process, sde)] },
    sample: (states, field, start, { noiseOf }) =>
      integrateSde(states, field, start, process, sde, (k) => noiseOf(k + 1)),
  };
}
