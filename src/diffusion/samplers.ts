/** One reverse step of each sampler as a graph (DDPM, DDIM, DPM-Solver++). N batch; images [N, C, H, W]. */
import { add, exp, mul, sub } from "../graph/build.ts";
import { fixedDim, type Tensor } from "../graph/tensor.ts";
import { at, modelTimesteps, noiseFromXStart, pMeanVariance, splitPrediction } from "./gaussian.ts";
import type { Predictor } from "./predictor.ts";
import type { Schedule } from "./schedule.ts";

/** Which sampler, and whether predicted x_0 is clipped to [−1, 1]. */
export type Sampler =
  | { readonly kind: "ddpm"; readonly clip: boolean }
  | { readonly kind: "ddim"; readonly eta: number; readonly clip: boolean };

/** What a reverse step reads: the state, the step within the schedule [N] int32, labels and fresh noise. */
export interface StepInputs {
  readonly x: Tensor;
  readonly index: Tensor;
  readonly y: Tensor;
  readonly noise: Tensor;
}

export interface StepOutputs {
  readonly sample: Tensor;
  readonly xStart: Tensor;
}

/** x_{t−1} from x_t. */
export function reverseStep(model: Predictor, schedule: Schedule, sampler: Sampler, inputs: StepInputs): StepOutputs {
  const { x, index, y, noise } = inputs;
  const output = model({ x, t: modelTimesteps(schedule, index), y });
  const prediction = splitPrediction(output, fixedDim(x, 1));
  const p = pMeanVariance(schedule, prediction, x, index, sampler.clip);
  const fresh = mul(at(noisyAfterFirst(schedule), index), noise);
  if (sampler.kind === "ddpm") {
    return { sample: add(p.mean, mul(exp(mul(p.logVariance, 0.5)), fresh)), xStart: p.xStart };
  }
  return { sample: ddimSample(schedule, sampler.eta, { x, xStart: p.xStart, index, fresh }), xStart: p.xStart };
}

/** Song et al. 2021 (Denoising diffusion implicit models), eq. 12 and 16. */
function ddimSample(
  schedule: Schedule,
  eta: number,
  { x, xStart, index, fresh }: { x: Tensor; xStart: Tensor; index: Tensor; fresh: Tensor },
): Tensor {
  const { alphasCumprod, alphasCumprodPrev } = schedule;
  const sigma = alphasCumprod.map((a, i) => {
    const before = alphasCumprodPrev[i]!;
    return eta * Math.sqrt((1 - before) / (1 - a)) * Math.sqrt(1 - a / before);
  });
  const direction = alphasCumprodPrev.map((before, i) => Math.sqrt(1 - before - sigma[i]! ** 2));
  const noise = noiseFromXStart(schedule, x, xStart, index);
  const mean = add(mul(at(alphasCumprodPrev.map(Math.sqrt), index), xStart), mul(at(direction, index), noise));
  return eta === 0 ? mean : add(mean, mul(at(sigma, index), fresh));
}

/** The last step (index 0) adds no noise. */
const noisyAfterFirst = (schedule: Schedule): Float64Array => schedule.betas.map((_, i) => (i === 0 ? 0 : 1));

/** What a multistep reads: the state, the step [N] int32, labels, and x_0 as the step before predicted it. */
export interface MultistepInputs extends Omit<StepInputs, "noise"> {
  /** Anything finite at the first step. */
  readonly previous: Tensor;
}

/** The factors of a step, by its index: x_{i−1} = state · x_i + data · (D_i + correction · (D_i − D_{i+1})). */
export interface SolverTables {
  readonly state: Float64Array;
  readonly data: Float64Array;
  readonly correction: Float64Array;
}

/**
 * With α = √ᾱ, σ = √(1 − ᾱ), λ = log(α / σ) and h = λ_{i−1} − λ_i: state is σ_{i−1}/σ_i, data −α_{i−1}(e^{−h} − 1)
 * = α_{i−1} − α_i state, and correction 1/(2r) = h / (2 h before). The first step has no prediction before it. The last
 * one ends at σ = 0, where h is infinite: both are of first order, and the last is x_0 itself.
 */
export function solverTables({ alphasCumprod, alphasCumprodPrev }: Schedule): SolverTables {
  const last = alphasCumprod.length - 1;
  const state = alphasCumprod.map((a, i) => Math.sqrt((1 - alphasCumprodPrev[i]!) / (1 - a)));
  const lambda = alphasCumprod.map((a) => (Math.log(a) - Math.log1p(-a)) / 2);
  return {
    state,
    data: alphasCumprod.map((a, i) => Math.sqrt(alphasCumprodPrev[i]!) - Math.sqrt(a) * state[i]!),
    correction: lambda.map((here, i) =>
      i === 0 || i === last ? 0 : (lambda[i - 1]! - here) / (2 * (here - lambda[i + 1]!)),
    ),
  };
}

/** x_{i−1} from x_i and two predictions of x_0, which are clipped to [−1, 1] if asked for. */
export function multistep(model: Predictor, schedule: Schedule, clip: boolean, inputs: MultistepInputs): StepOutputs {
  const { x, index, y, previous } = inputs;
  const prediction = splitPrediction(model({ x, t: modelTimesteps(schedule, index), y }), fixedDim(x, 1));
  const { xStart } = pMeanVariance(schedule, prediction, x, index, clip);
  const { state, data, correction } = solverTables(schedule);
  const extrapolated = add(xStart, mul(at(correction, index), sub(xStart, previous)));
  return { sample: add(mul(at(state, index), x), mul(at(data, index), extrapolated)), xStart };
}
