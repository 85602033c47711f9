/** Noise schedules of discrete Gaussian diffusion: betas and every table derived from them, in float64 on the host. */
import { InputError } from "../array/input-error.ts";
import { roundHalfEven } from "../array/reduce.ts";

/**
 * The tables of a diffusion process with T steps; each has T entries, entry i belongs to `timesteps[i]`.
 * With β given, α = 1 − β and ᾱ_i = Π_{j ≤ i} α_j (Ho et al. 2020, "Denoising Diffusion Probabilistic Models", eq. 4 and 7).
 */
export interface Schedule {
  /** The timestep of the original process of step i, which is the model's input: 0..T−1 when not respaced. */
  readonly timesteps: Int32Array;
  readonly betas: Float64Array;
  /** log β, the upper end of a learned variance (Nichol & Dhariwal 2021, eq. 15). */
  readonly logBetas: Float64Array;
  /** ᾱ_i */
  readonly alphasCumprod: Float64Array;
  /** ᾱ_{i−1}, and 1 before the first step. */
  readonly alphasCumprodPrev: Float64Array;
  /** ᾱ_{i+1}, and 0 after the last step. */
  readonly alphasCumprodNext: Float64Array;
  /** √ᾱ: the factor of x_0 in x_t. */
  readonly sqrtAlphasCumprod: Float64Array;
  /** √(1 − ᾱ): the factor of the noise in x_t. */
  readonly sqrtOneMinusAlphasCumprod: Float64Array;
  /** log(1 − ᾱ) */
  readonly logOneMinusAlphasCumprod: Float64Array;
  /** √(1/ᾱ): the factor of x_t in x_0. */
  readonly sqrtRecipAlphasCumprod: Float64Array;
  /** √(1/ᾱ − 1): minus the factor of the noise in x_0. */
  readonly sqrtRecipm1AlphasCumprod: Float64Array;
  /** Variance of q(x_{t−1} | x_t, x_0); 0 at the first step. */
  readonly posteriorVariance: Float64Array;
  /** log of that variance, where the first step borrows the second's (or, if there is only one step, log β). */
  readonly posteriorLogVarianceClipped: Float64Array;
  /** The factor of x_0 in the mean of q(x_{t−1} | x_t, x_0). */
  readonly posteriorMeanCoef1: Float64Array;
  /** The factor of x_t in the mean of q(x_{t−1} | x_t, x_0). */
  readonly posteriorMeanCoef2: Float64Array;
}

/** The names there are. */
export const scheduleNames = ["linear", "squaredcos_cap_v2"] as const;

/** The schedules that have a name; the names are those of the ADM code base (Dhariwal & Nichol 2021). */
export type ScheduleName = (typeof scheduleNames)[number];

/**
 * β rises linearly from `start` to `end`, both scaled by 1000 / steps so that any number of steps ends in noise.
 * @throws InputError if there is no step.
 */
export function linearBetas(steps: number, start = 1e-4, end = 0.02): Float64Array {
  checkSteps(steps);
  const scale = 1000 / steps;
  const first = scale * start;
  const last = scale * end;
  if (steps === 1) return Float64Array.of(first);
  const stride = (last - first) / (steps - 1);
  return Float64Array.from({ length: steps }, (_, i) => (i === steps - 1 ? last : first + i * stride));
}

/**
 * The cosine schedule: ᾱ(s) = cos²((s + 0.008) / 1.008 · π/2) at s = i / steps, with β capped (Nichol & Dhariwal 2021, eq. 17).
 * @throws InputError if there is no step.
 */
export function cosineBetas(steps: number, maxBeta = 0.999): Float64Array {
  checkSteps(steps);
  const alphaBar = (s: number) => Math.cos((((s + 0.008) / 1.008) * Math.PI) / 2) ** 2;
  return Float64Array.from({ length: steps }, (_, i) =>
    Math.min(1 - alphaBar((i + 1) / steps) / alphaBar(i / steps), maxBeta),
  );
}

/**
 * The schedule called `name` with `steps` steps.
 * @throws InputError if there is no step, or so few that a linear β passes 1.
 */
export function namedSchedule(name: ScheduleName, steps: number): Schedule {
  return scheduleFromBetas(name === "linear" ? linearBetas(steps) : cosineBetas(steps));
}

/**
 * All tables of the process with these `betas`; `timesteps` (default 0..T−1) are the original timesteps of the entries.
 * @throws InputError if a β is not in (0, 1], or the lengths differ.
 */
export function scheduleFromBetas(betas: Float64Array, timesteps = Int32Array.from(betas.keys())): Schedule {
  checkBetas(betas, timesteps);
  const alphasCumprod = cumulativeProduct(betas.map((beta) => 1 - beta));
  const alphasCumprodPrev = Float64Array.of(1, ...alphasCumprod.subarray(0, -1));
  const posteriorVariance = betas.map((beta, i) => (beta * (1 - alphasCumprodPrev[i]!)) / (1 - alphasCumprod[i]!));
  return {
    timesteps,
    betas,
    logBetas: betas.map(Math.log),
    alphasCumprod,
    alphasCumprodPrev,
    alphasCumprodNext: Float64Array.of(...alphasCumprod.subarray(1), 0),
    sqrtAlphasCumprod: alphasCumprod.map(Math.sqrt),
    sqrtOneMinusAlphasCumprod: alphasCumprod.map((alphaBar) => Math.sqrt(1 - alphaBar)),
    logOneMinusAlphasCumprod: alphasCumprod.map((alphaBar) => Math.log(1 - alphaBar)),
    sqrtRecipAlphasCumprod: alphasCumprod.map((alphaBar) => Math.sqrt(1 / alphaBar)),
    sqrtRecipm1AlphasCumprod: alphasCumprod.map((alphaBar) => Math.sqrt(1 / alphaBar - 1)),
    posteriorVariance,
    posteriorLogVarianceClipped: posteriorVariance.map((variance, i) =>
      Math.log(i > 0 ? variance : (posteriorVariance[1] ?? betas[0]!)),
    ),
    posteriorMeanCoef1: betas.map((beta, i) => (beta * Math.sqrt(alphasCumprodPrev[i]!)) / (1 - alphasCumprod[i]!)),
    posteriorMeanCoef2: betas.map(
      (beta, i) => ((1 - alphasCumprodPrev[i]!) * Math.sqrt(1 - beta)) / (1 - alphasCumprod[i]!),
    ),
  };
}

function cumulativeProduct(values: Float64Array): Float64Array {
  let product = 1;
  return values.map((value) => (product *= value));
}

function checkSteps(steps: number): void {
  if (!Number.isInteger(steps) || steps < 1) {
    throw new InputError(`a noise schedule needs a whole number of steps, at least 1, got ${steps}`);
  }
}

function checkBetas(betas: Float64Array, timesteps: Int32Array): void {
  if (betas.length !== timesteps.length) {
    throw new InputError(`a noise schedule of ${betas.length} betas cannot have ${timesteps.length} timesteps`);
  }
  if (betas.length === 0) throw new InputError("a noise schedule needs at least 1 step");
  const wrong = betas.findIndex((beta) => !(beta > 0 && beta < 1));
  if (wrong >= 0) {
    throw new InputError(
      `a noise schedule needs every beta in (0, 1), step ${wrong} of ${betas.length} has ${betas[wrong]}` +
        (betas[wrong]! >= 1 ? "; use more steps" : ""),
    );
  }
}

/**
 * The timesteps of a process of `total` steps that `spec` keeps, ascending.
 * - `"250"`: 250 timesteps evenly from 0 to total − 1 (Nichol & Dhariwal 2021, section 4).
 * - `"10,15,20"`: as many from each of so many equal sections (the first ones are one longer if they do not divide).
 * - `"ddim25"`: 0, s, 2s, … with the first whole stride s that gives exactly 25 (Song et al. 2021, DDIM, appendix D).
 *
 * Strides are accumulated in float64 and rounded half to even, as Python does.
 * @throws InputError if `spec` is none of these, or asks for more timesteps than there are.
 */
export function spacedTimesteps(total: number, spec: string): Int32Array {
  const ddim = /^ddim(\d+)$/.exec(spec);
  const timesteps = ddim ? stridedTimesteps(total, Number(ddim[1])) : sectionTimesteps(total, sectionCounts(spec));
  if (timesteps.length === 0) throw new InputError(`respacing "${spec}" keeps no timestep`);
  return Int32Array.from(timesteps);
}

/**
 * The process that visits only the timesteps of `spec`: β'_i = 1 − ᾱ_i / ᾱ_{i−1} over the kept ones, so ᾱ there is unchanged.
 * @throws InputError as {@link spacedTimesteps}.
 */
export function respace(schedule: Schedule, spec: string): Schedule {
  const kept = spacedTimesteps(schedule.betas.length, spec);
  const betas = new Float64Array(kept.length);
  let previous = 1;
  kept.forEach((step, i) => {
    const alphaBar = schedule.alphasCumprod[step]!;
    betas[i] = 1 - alphaBar / previous;
    previous = alphaBar;
  });
  return scheduleFromBetas(
    betas,
    kept.map((step) => schedule.timesteps[step]!),
  );
}

function stridedTimesteps(total: number, count: number): number[] {
  for (let stride = 1; stride < total; stride++) {
    if (Math.ceil(total / stride) === count) return Array.from({ length: count }, (_, i) => i * stride);
  }
  throw new InputError(`respacing "ddim${count}": no whole stride takes exactly ${count} of ${total} timesteps`);
}

function sectionCounts(spec: string): number[] {
  return spec.split(",").map((text) => {
    if (!/^\s*\d+\s*$/.test(text)) {
      throw new InputError(`respacing "${spec}" is neither a count ("250"), counts ("10,15,20") nor "ddim25"`);
    }
    return Number(text);
  });
}

function sectionTimesteps(total: number, counts: readonly number[]): number[] {
  const timesteps: number[] = [];
  let start = 0;
  counts.forEach((count, section) => {
    const size = Math.floor(total / counts.length) + (section < total % counts.length ? 1 : 0);
    if (count > size) {
      throw new InputError(
        `respacing "${counts}": section ${section + 1} has ${size} of ${total} timesteps, cannot take ${count} from it`,
      );
    }
    const stride = count > 1 ? (size - 1) / (count - 1) : 1;
    let position = 0;
    for (let i = 0; i < count; i++) {
      timesteps.push(start + roundHalfEven(position));
      position += stride;
    }
    start += size;
  });
  return timesteps;
}
