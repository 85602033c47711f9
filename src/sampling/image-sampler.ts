/** What a sampler is, and the random numbers of its images. B images of a batch, C channels, S side. */
import { int32, type NDArray } from "../array/ndarray.ts";
import { normalRows } from "../array/random.ts";
import type { DeviceArray, Engine, Inputs, Weight } from "../engine/engine.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { ModelConfig } from "../models/family.ts";
import type { Model } from "../models/registry.ts";
import type { RunBlock } from "../nn/run-block.ts";
import type { SamplingSettings } from "./sampling-settings.ts";

/** A batch to sample. */
export interface BatchRequest {
  /** Number of its first image. */
  readonly first: number;
  /** Labels [B]; rows from `rows` on are padding. */
  readonly y: Int32Array;
  readonly rows: number;
  /** Called after each model evaluation; throws if the user stopped. */
  readonly onModelEvaluation: () => void;
}

/** Samples images of a compiled model in batches of B, one batch after the other. */
export interface ImageSampler {
  /** Model evaluations of a batch (NFE; a guided one counts once); undefined where the images decide. */
  readonly modelEvaluations: number | undefined;
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
  /** Stops a cache's calibration, which samples images before the first is asked for. */
  readonly signal?: AbortSignal;
}

/** A batch with the noise of its images. */
export interface NoisyBatch {
  /** [B] */
  readonly y: NDArray<"int32">;
  /** Number of its first image. */
  readonly first: number;
  readonly rows: number;
  /** Normal numbers [B, C, S, S] at step k (0 is the start), of which those of image i depend on (seed, i) only. Rows of padding are 0. */
  noiseOf(k: number): NDArray<"float32">;
}

/** The images `first` … `first + rows − 1` of a model with labels y [B]. */
export function noisyBatch(
  { inChannels, inputSize }: ModelConfig,
  { first, rows, y }: Pick<BatchRequest, "first" | "rows" | "y">,
  { seed, purpose = "sample noise" }: { readonly seed: number; readonly purpose?: string },
): NoisyBatch {
  const shape = [y.length, inChannels, inputSize, inputSize];
  const keysAt = (step: number) =>
    Array.from({ length: rows }, (_, row) => ({ seed, purpose, step, index: first + row }));
  return { y: int32(y), first, rows, noiseOf: (step) => normalRows(shape, keysAt(step)) };
}

/** Runs a graph once, on all inputs but weights and cache; what it returns is the caller's to release. */
export type Evaluate = (inputs: Inputs) => Promise<Record<string, DeviceArray>>;

/** A sampler that asks one graph for every model evaluation, whoever runs it. */
export interface SamplingLoop extends Pick<ImageSampler, "modelEvaluations" | "settings" | "derived"> {
  /** What joins noise and data, as a model file describes it. */
  readonly process: object;
  /** The graph for a batch of so many images, with blocks that run through `runBlock`. */
  outputs(batch: number, runBlock: RunBlock | undefined): Readonly<Record<string, Tensor>>;
  /** Inputs of the graph that its output of the same name replaces: states of which only the newest is needed. */
  readonly donate?: readonly string[];
  /** From noise to images [B, C, S, S]. */
  sample(evaluate: Evaluate, batch: NoisyBatch): Promise<NDArray>;
  /** Frees what the loop compiled for itself. */
  release?(): Promise<void>;
}

/** Compiled graphs of a loop. */
export interface LoopSessions {
  /** The model evaluations of a new batch, in order. */
  begin(): Evaluate;
  release(): Promise<void>;
}
