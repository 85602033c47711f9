/** The seam between generating images and how each process draws them. B internal batch, C channels, S side. */
import type { NDArray } from "../array/ndarray.ts";
import type { Process, ProcessKind } from "../diffusion/process.ts";
import type { Engine } from "../engine/engine.ts";
import { lazyEngine } from "../engine/lazy-engine.ts";
import { guidanceFor } from "../models/family.ts";
import type { Model } from "../models/registry.ts";
import type { RunBlock } from "../nn/run-block.ts";
import type { Weight } from "../weights/placed-weights.ts";
import { notedCache } from "./caching/cache-settings.ts";
import { compileFlowSampler, type FlowSampling } from "./flow-sampler.ts";
import { compileGaussianSampler, type GaussianSampling } from "./gaussian-sampler.ts";
import { compileTokenSampler, type TokenSampling } from "./token-sampler.ts";
import { requireUsable } from "./usable-images.ts";

/** A batch to draw. */
export interface BatchRequest {
  /** Number of its first image. */
  readonly first: number;
  /** Labels [B]; rows from `rows` on are padding. */
  readonly y: Int32Array;
  readonly rows: number;
  /** Told after each denoiser evaluation; throws if the user stopped. */
  readonly onModelEvaluation: () => void;
}

/** Draws images of a compiled model in batches of B, one batch after the other. */
export interface ImageSampler {
  /** Denoiser evaluations of a batch; undefined where the images decide. */
  readonly evaluations: number | undefined;
  /** Every setting, also those that the request left out. */
  readonly settings: SamplingSettings & { readonly steps: string; readonly cfgScale: number };
  /** What follows from them: the timesteps that are visited, for instance. */
  readonly derived: Readonly<Record<string, unknown>>;
  /** [B, C, S, S]; image i depends on (seed, i) and its label only. */
  sample(request: BatchRequest): Promise<NDArray>;
  release(): Promise<void>;
}

/** What every sampler is compiled from. */
export interface SamplerRequest {
  readonly engine: Engine;
  readonly model: Model;
  readonly weights: ReadonlyMap<string, Weight>;
  readonly seed: number;
  /** Images computed together. */
  readonly batch: number;
  readonly runBlock?: RunBlock;
  /** Stops a cache's calibration, which draws images before the first is asked for. */
  readonly signal?: AbortSignal;
}

/** Settings of all samplers; each takes its own and passes over the others, but for a cache that it cannot have. */
export type SamplingSettings = GaussianSampling & FlowSampling & TokenSampling;

type Of<K extends ProcessKind> = Extract<Process, { kind: K }>;

const samplers: {
  readonly [K in ProcessKind]: (
    request: SamplerRequest,
    process: Of<K>,
    settings: SamplingSettings,
  ) => Promise<ImageSampler>;
} = { gaussian: compileGaussianSampler, flow: compileFlowSampler, tokens: compileTokenSampler };

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
  const compile = samplers[process.kind] as (
    ...all: [SamplerRequest, Process, SamplingSettings]
  ) => Promise<ImageSampler>;
  const sampler = await compile(request, process, guidanceFor(request.model.config, settings));
  return {
    ...sampler,
    async sample(batch) {
      const images = await sampler.sample(batch);
      requireUsable({ first: batch.first, images, labels: batch.y.subarray(0, batch.rows) });
      return images;
    },
  };
}

/**
 * What a sampler will do: its settings with all defaults, and how many evaluations a batch takes; nothing is compiled, and
 * a cache measures nothing.
 * @throws InputError for settings that do not fit the process.
 */
export async function plannedSampling(
  { engine, ...request }: Omit<SamplerRequest, "batch">,
  process: Process,
  { cache, cacheImages, cacheCurves, ...others }: SamplingSettings,
): Promise<Pick<ImageSampler, "settings" | "evaluations">> {
  const sampler = await compileSampler({ ...request, engine: lazyEngine(engine), batch: 2 }, process, others);
  await sampler.release();
  const { settings, evaluations } = sampler;
  const given = { ...(cache !== undefined && { cache }), ...(cacheImages !== undefined && { cacheImages }) };
  return { evaluations, settings: { ...settings, ...notedCache({ ...given, ...(cacheCurves && { cacheCurves }) }) } };
}
