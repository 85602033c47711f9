/** DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2): one reverse step as a graph. N batch; images [N, C, H, W]. */
import { add, mul, sub } from "../graph/build.ts";
import { fixedDim, type Tensor } from "../graph/tensor.ts";
import { at, modelTimesteps, pMeanVariance, splitPrediction } from "./gaussian.ts";
import type { Model } from "./model.ts";
import type { StepInputs, StepOutputs } from "./samplers.ts";
import type { Schedule } from "./schedule.ts";

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
 * = α_{i−1} − α_i state, and correction 1/(2r) = h / (2 h before). The first step knows no prediction before it. The last
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
export function multistep(model: Model, schedule: Schedule, clip: boolean, inputs: MultistepInputs): StepOutputs {
  const { x, index, y, previous } = inputs;
  const prediction = splitPrediction(model({ x, t: modelTimesteps(schedule, index), y }), fixedDim(x, 1));
  const { xStart } = pMeanVariance(schedule, prediction, x, index, clip);
  const { state, data, correction } = solverTables(schedule);
  const extrapolated = add(xStart, mul(at(correction, index), sub(xStart, previous)));
  return { sample: add(mul(at(state, index), x), mul(at(data, index), extrapolated)), xStart };
}
