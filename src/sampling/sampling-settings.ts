/** Settings of all samplers, and their values where a request says nothing. */
import { InputError } from "../array/input-error.ts";
import type { DiffusionForm, LastStep } from "../diffusion/flow/sde.ts";
import type { GuidanceSchedule } from "../diffusion/masking/masks.ts";
import type { BranchKind } from "./caching/cached-blocks.ts";

/** How linear layers of blocks are computed. */
export const samplingPrecisions = ["float32", "int8"] as const;
export type SamplingPrecision = (typeof samplingPrecisions)[number];

/** Each sampler reads its own settings and passes over the others, but for a cache that it cannot have. */
export interface SamplingSettings extends CacheSampling {
  /** float32 by default. */
  readonly precision?: SamplingPrecision;
  /**
   * Gaussian diffusion: the timesteps that are visited, "ddim25", "250", "10,15,20". Flows: points in time, of which the
   * adaptive sampler has none. Tokens: iterations, each sampling some of the tokens.
   */
  readonly steps?: string;
  readonly sampler?: string;
  /** Classifier-free guidance; 1 is none and costs half. */
  readonly cfgScale?: number;
  /** Gaussian, flows: leading channels of the prediction that are guided: all by default; the original guides 3 of 4. */
  readonly cfgChannels?: number;
  /** DDIM: 0 is deterministic, 1 as noisy as DDPM. */
  readonly eta?: number;
  /** Gaussian: clips predicted x_0 to [−1, 1] at each step; right for pixels, wrong for latents. */
  readonly clip?: boolean;
  /** dopri5: its tolerances, and whose error decides on a step. */
  readonly rtol?: number;
  readonly atol?: number;
  readonly dopriNorm?: "sample" | "batch";
  /** SDEs: their noise over time, its scale, and how the last stretch is done. */
  readonly diffusionForm?: DiffusionForm;
  readonly diffusionNorm?: number;
  readonly lastStep?: LastStep;
  readonly lastStepSize?: number;
  /** Tokens: timesteps that each token's denoising visits: "25", "ddim10". */
  readonly headSteps?: string;
  /** Tokens: scales the noise of the denoising steps. */
  readonly temperature?: number;
  /** Tokens: guidance that grows with the tokens that are there, or the same for all. */
  readonly cfgSchedule?: GuidanceSchedule;
}

/** `dpm++2m` is DPM-Solver++(2M), diffusers' `dpmsolver++` of order 2. */
export const gaussianSamplers = ["ddim", "ddpm", "dpm++2m"] as const;
export const flowSamplers = ["euler", "heun", "dopri5", "euler-maruyama", "stochastic-heun"] as const;

export const gaussianDefaults = { steps: "ddim25", sampler: "ddim", eta: 0, clip: false, cfgScale: 2 } as const;
/** Those of the SDEs are the original's. */
export const flowDefaults = { steps: "25", sampler: "heun", cfgScale: 2 } as const;
/**
 * The original takes 64 iterations for 256 tokens, and 100 head steps that begin at the last timestep, where an error of
 * the noise is multiplied by 20,000; "ddim25" begins a little earlier.
 */
export const tokenDefaults = {
  steps: "16",
  headSteps: "ddim25",
  temperature: 1,
  cfgScale: 2,
  cfgSchedule: "linear",
} as const satisfies SamplingSettings;

/** @throws InputError for more guided channels than there are. */
export function guidedChannels(channels: number | undefined, of: number): number {
  const guided = channels ?? of;
  if (Number.isInteger(guided) && guided >= 1 && guided <= of) return guided;
  throw new InputError(`generate: guidance of ${guided} channels, the model's noise has ${of}`);
}

/** @throws InputError for steps of `what` that are no whole number. */
export function wholeSteps(steps: string, what: string): number {
  if (/^\d+$/.test(steps)) return Number(steps);
  throw new InputError(`generate: steps of ${what}, got "${steps}"`);
}

export interface CacheSampling {
  /** Attention and MLP of a step nearby are reused while their relative change stays below this; 0 is never. */
  readonly cache?: number;
  /** Images that the change is measured on; 8 by default. */
  readonly cacheImages?: number;
  /** The change as it was measured before, or the JSON file that holds it. */
  readonly cacheCurves?: CacheCurves | string;
  /** Computed outputs that one which is not computed is predicted from, 1 to 3; 1, the default, is reuse. */
  readonly cacheHistory?: number;
}

/**
 * `errors[i][k − 1]` is the mean over blocks and images of ‖Δ_i − Δ_{i+k}‖₁ / ‖Δ_i‖₁ after k more model evaluations (as
 * SmoothCache measures them, Liu et al. 2024, arXiv 2411.10510).
 */
export type ErrorCurves = Readonly<Record<BranchKind, readonly (readonly number[])[]>>;

/**
 * For each kind and model evaluation i, mean ⟨Δ_{i−a}, Δ_{i−b}⟩ / ‖Δ_i‖² over blocks and images for the ages (a, b) = (0, 0),
 * (1, 0), (1, 1), (2, 0), … as far back as there is something.
 */
export type BranchProducts = Readonly<Record<BranchKind, readonly (readonly number[])[]>>;

/** Curves of a model, and what they were measured with. */
export interface CacheCurves {
  readonly measured: {
    /** Images they are the mean of. */
    readonly images: number;
    readonly evaluations: number;
    /** Branches of each kind. */
    readonly branches: Readonly<Record<BranchKind, number>>;
    /** The process, and the sampler with its settings. */
    readonly process: unknown;
    readonly settings: unknown;
  };
  readonly errors: ErrorCurves;
  /** Measured where outputs are predicted. */
  readonly products?: BranchProducts;
}

/** How a run caches. */
export interface CachePlan {
  readonly tolerance: number;
  readonly history: number;
  /** Images to measure on, or what was measured. */
  readonly source: { readonly images: number } | { readonly curves: CacheCurves | string };
}

const LONGEST_HISTORY = 3;

const isWithoutCache = ({ cacheImages, cacheCurves, cacheHistory }: CacheSampling): boolean =>
  cacheImages === undefined && cacheCurves === undefined && cacheHistory === undefined;

/** The plan, if there is one. @throws InputError for settings that mean nothing, or nothing together. */
export function cachePlan(settings: CacheSampling): CachePlan | undefined {
  const { cache, cacheImages, cacheCurves, cacheHistory: history = 1 } = settings;
  if (cache === undefined) {
    if (isWithoutCache(settings)) return undefined;
    throw new InputError(
      "caching: images, curves or history of a cache were given without a tolerance; give one as well, such as `cache` 0.2",
    );
  }
  if (!(Number.isInteger(history) && history >= 1 && history <= LONGEST_HISTORY)) {
    throw new InputError(`caching: expected a history of 1 to ${LONGEST_HISTORY} outputs, got ${history}`);
  }
  if (!(Number.isFinite(cache) && cache >= 0)) {
    throw new InputError(`caching: expected a tolerance of at least 0, such as 0.2, got ${cache}`);
  }
  if (cacheImages !== undefined && cacheCurves !== undefined) {
    throw new InputError("caching: curves that are given need no images to be measured on; give one of the two");
  }
  const images = cacheImages ?? 8;
  if (!(Number.isInteger(images) && images >= 1)) {
    throw new InputError(`caching: expected at least 1 image to measure on, got ${images}`);
  }
  if (cache === 0) return undefined;
  return { tolerance: cache, history, source: cacheCurves === undefined ? { images } : { curves: cacheCurves } };
}

/** What is recorded of a cache beside the settings of a sampler. @throws as {@link cachePlan}. */
export function recordedCache(settings: CacheSampling): Omit<CacheSampling, "cacheCurves"> {
  const { cache } = settings;
  const plan = cachePlan(settings);
  return {
    ...(cache !== undefined && { cache }),
    ...(plan && "images" in plan.source && { cacheImages: plan.source.images }),
    ...(plan && plan.history > 1 && { cacheHistory: plan.history }),
  };
}

/** Settings whose cache takes what was measured before; as they are if nothing was. */
export function withCurves<S extends CacheSampling>(settings: S, curves: CacheCurves | undefined) {
  const { cacheImages, ...others } = settings;
  return curves === undefined ? settings : { ...others, cacheCurves: curves }; // which hold the number of images
}

/** What is recorded of a precision; of float32 nothing, as before there was another. */
export const recordedPrecision = (precision: SamplingPrecision | undefined): Pick<SamplingSettings, "precision"> =>
  precision === undefined || precision === "float32" ? {} : { precision };

/** @throws InputError if a cache is asked for. */
export function refuseCache(settings: CacheSampling, why: string): void {
  if (settings.cache === undefined && isWithoutCache(settings)) return;
  throw new InputError(`caching: ${why}; leave the cache out`);
}
