/** Stochastic samplers of flows: Euler–Maruyama and stochastic Heun with a last step. N batch; states [N, …], times [N]. */
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import type { DeviceArray } from "../../engine/engine.ts";
import type { FlowProcess, PathName } from "../process.ts";
import { odeStep, type Slope, timeGrid, timeOf } from "./ode.ts";
import { checkedEpsilon, determinant, type Interval, interpolantAt, numbers } from "./path.ts";
import type { States } from "./states.ts";

/** Velocity and score at x [N, …] and t [N]: one model evaluation gives both. */
export type EvaluateField = (
  x: DeviceArray,
  t: NDArray,
) => Promise<{ readonly velocity: DeviceArray; readonly score: DeviceArray }>;

export const sdeMethods = ["euler", "heun"] as const;
export type SdeMethod = (typeof sdeMethods)[number];

/** How the last stretch is done without noise: along the SDE's drift, along the flow, to the expected data, or not. */
export const lastSteps = ["mean", "euler", "tweedie", "none"] as const;
export type LastStep = (typeof lastSteps)[number];

/** The original's names are Mean, Euler, Tweedie and None. */
export interface SdeSettings {
  readonly method: SdeMethod;
  readonly form: DiffusionForm;
  /** Scales the diffusion coefficient. */
  readonly norm: number;
  readonly lastStep: LastStep;
  /** How far from t = 1 the last step begins. */
  readonly lastStepSize: number;
  /** Points in time: `points` − 1 noisy steps. */
  readonly points: number;
}

/** The original's `sample.py`: its library's default form, "sbdm", is not finite at t = 0. */
export const sdeDefaults: SdeSettings = {
  method: "euler",
  form: "sigma",
  norm: 1,
  lastStep: "mean",
  lastStepSize: 0.04,
  points: 250,
};

/** What the interval of an SDE depends on. */
export interface SdeEnds {
  readonly form: DiffusionForm;
  /** Heun's method evaluates the end of a step, Euler's does not. */
  readonly method: "euler" | "heun";
  /** Size of the last step, without noise; 0 if there is none. */
  readonly lastStepSize: number;
}

/**
 * What an SDE is integrated over, before its last step.
 * @throws InputError where the score or the diffusion coefficient would be infinite.
 */
export function sdeInterval(process: FlowProcess, { form, method, lastStepSize }: SdeEnds): Interval {
  const { path, prediction, sampleEpsilon } = process;
  const finite = path !== "vp" && prediction === "velocity";
  const epsilon = () => checkedEpsilon("sampleEpsilon", sampleEpsilon ?? 1e-3);
  // The original sets this epsilon to 0 for velocities: "sbdm" then divides by zero at t = 0, Heun's method at t = 1.
  const from = path === "vp" || (finite && form !== "sbdm") ? 0 : epsilon();
  if (lastStepSize !== 0) return [from, 1 - checkedEpsilon("the last step's size", lastStepSize)];
  return [from, finite && method === "euler" ? 1 - (sampleEpsilon ?? 0) : 1 - epsilon()];
}

/** The times of the noisy steps. @throws InputError for settings that would divide by zero or add no noise. */
export function sdeTimes(process: FlowProcess, settings: SdeSettings): Float64Array {
  const { form, method, norm, lastStep, points } = settings;
  if (!(norm > 0 && Number.isFinite(norm))) throw new InputError(`flow SDE: norm must be above 0, got ${norm}`);
  const lastStepSize = lastStep === "none" ? 0 : settings.lastStepSize;
  if (lastStep !== "none" && !(lastStepSize > 0)) {
    throw new InputError(`flow SDE: the last step needs a size above 0, got ${lastStepSize}`);
  }
  return timeGrid(sdeInterval(process, { form, method, lastStepSize }), points);
}

/** How many times the model runs. */
export const sdeEvaluations = ({ method, lastStep, points }: SdeSettings): number =>
  (points - 1) * (method === "heun" ? 2 : 1) + (lastStep === "none" ? 0 : 1);

/** One step from t to `next` with its noise. */
type Step = (run: SdeRun, x: DeviceArray, noise: DeviceArray, t: number, next: number) => Promise<DeviceArray>;

interface SdeRun {
  readonly states: States;
  readonly drift: Slope;
  diffusion(t: number): number;
}

const steps: { readonly [K in SdeMethod]: Step } = {
  async euler({ states, diffusion, drift }, x, noise, t, next) {
    const dt = next - t;
    return states.addScaled(x, [dt, await drift(x, t)], [Math.sqrt(2 * diffusion(t) * dt), noise]);
  },
  /** Noise first, then Heun's method on the drift (as Karras et al. 2022, algorithm 2, but with the drift of the SDE). */
  async heun({ states, diffusion, drift }, x, noise, t, next) {
    const noisy = await states.addScaled(x, [Math.sqrt(2 * diffusion(t) * (next - t)), noise]);
    return odeStep("heun")(states, drift, noisy, t, next);
  },
};

/**
 * Samples dx = (v + w · score) dt + √(2w) dW from noise to data. `noiseOf(k)` gives the standard normals of step
 * k = 0, 1, …; `onState` sees the state after step k, and at the end after the last step.
 * @throws InputError before the first model evaluation, as {@link sdeTimes}.
 */
export async function integrateSde(
  states: States,
  evaluate: EvaluateField,
  start: NDArray,
  process: FlowProcess,
  settings: SdeSettings,
  noiseOf: (k: number) => NDArray,
  onState?: (x: DeviceArray, k: number) => Promise<void>,
): Promise<NDArray> {
  const times = sdeTimes(process, settings);
  const diffusion = (t: number) => diffusionAt(settings.form, process.path, t, settings.norm);
  const field = async (x: DeviceArray, t: number) => {
    const { velocity, score } = await evaluate(x, timeOf(x, t));
    return { velocity: states.own(velocity), score: states.own(score) };
  };
  const drift: Slope = async (x, t) => {
    const { velocity, score } = await field(x, t);
    return states.addScaled(velocity, [diffusion(t), score]);
  };
  let x = await states.put(start);
  const noisySteps = times.length - 1;
  for (let k = 0; k < noisySteps; k++) {
    const noise = await states.put(noiseOf(k));
    x = await steps[settings.method]({ states, diffusion, drift }, x, noise, times[k]!, times[k + 1]!);
    await onState?.(x, k);
    states.keep(x);
  }
  if (settings.lastStep === "none") return states.finish(x);
  const end = times[noisySteps]!;
  const terms = lastTerms[settings.lastStep]({
    x,
    ...(await field(x, end)),
    size: settings.lastStepSize,
    w: diffusion(end),
    ...interpolantAt(process.path, end),
  });
  const last = await states.addScaled(x, ...terms);
  await onState?.(last, noisySteps);
  return states.finish(last);
}

/** Where the last step begins. */
interface LastState {
  readonly x: DeviceArray;
  readonly velocity: DeviceArray;
  readonly score: DeviceArray;
  readonly size: number;
  readonly w: number;
  readonly alpha: number;
  readonly sigma: number;
}

/** What the last step adds to x. */
const lastTerms: {
  readonly [K in Exclude<LastStep, "none">]: (state: LastState) => readonly (readonly [number, DeviceArray])[];
} = {
  mean: ({ velocity, score, size, w }) => [
    [size, velocity],
    [size * w, score],
  ],
  euler: ({ velocity, size }) => [[size, velocity]],
  /** Tweedie's formula, E[x_1 | x_t] = (x + σ² score) / α: `size` only sets where it begins. */
  tweedie: ({ x, score, alpha, sigma }) => [
    [1 / alpha - 1, x],
    [sigma ** 2 / alpha, score],
  ],
};

/** The forms there are. Every positive w has the same marginals in the limit of small steps. */
export const diffusionForms = ["constant", "sbdm", "sigma", "linear", "decreasing", "increasing-decreasing"] as const;
export type DiffusionForm = (typeof diffusionForms)[number];

type Coefficient = (path: PathName, t: number, norm: number) => number;

const coefficients: { readonly [K in DiffusionForm]: Coefficient } = {
  constant: (_path, _t, norm) => norm,
  /** That of score-based diffusion models: the drift of the forward process is then linear in x. Infinite where α = 0. */
  sbdm(path, t, norm) {
    const at = interpolantAt(path, t);
    return (norm * at.sigma * determinant(at, numbers)) / at.alpha;
  },
  sigma: (path, t, norm) => norm * interpolantAt(path, t).sigma,
  linear: (_path, t, norm) => norm * (1 - t),
  decreasing: (_path, t, norm) => 0.25 * (norm * Math.cos(Math.PI * t) + 1) ** 2,
  "increasing-decreasing": (_path, t, norm) => norm * Math.sin(Math.PI * t) ** 2,
};

/** w(t) in dx = (v + w · score) dt + √(2w) dW; `norm` scales it. */
export const diffusionAt = (form: DiffusionForm, path: PathName, t: number, norm: number): number =>
  coefficients[form](path, t, norm);
