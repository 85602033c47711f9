/** Images from a model, batch by batch or all in memory. Image i depends on (seed, i) and its label only. C channels, S side. */
import { InputError } from "../array/input-error.ts";
import { float32, type NDArray, sizeOf } from "../array/ndarray.ts";
import { integers } from "../array/random.ts";
import { type Process, processOf } from "../diffusion/process.ts";
import { hasNullClass, type ModelConfig } from "../models/family.ts";
import { compileSampler } from "./compile-sampler.ts";
import type { ImageSampler, SamplerRequest } from "./image-sampler.ts";
import type { SamplingSettings } from "./sampling-settings.ts";

/** Which model samples, and how. */
export interface SampleRequest extends Omit<SamplerRequest, "batch">, SamplingSettings {
  /** The process the model was trained on; default: that of its family. */
  readonly process?: Process;
  /** Images computed together; the last batch is padded, and so is a batch of 1. */
  readonly internalBatch?: number;
}

/** The images `first` … `first + rows − 1`. */
export interface BatchRange {
  readonly first: number;
  readonly rows: number;
}

/** Images of one run of the sampler. */
export interface SampledBatch {
  readonly first: number;
  /** [rows, C, S, S], about [−1, 1], not clipped. */
  readonly images: NDArray<"float32">;
  /** [rows] */
  readonly labels: Int32Array;
}

export interface BatchSampler extends Pick<ImageSampler, "modelEvaluations" | "settings" | "derived" | "release"> {
  /** Images of a batch. */
  readonly batch: number;
  /**
   * Samples images `first` … `first + labels.length − 1` in order; `onModelEvaluation` is called after each model
   * evaluation, and may throw to stop.
   * @throws InputError for labels the model does not know.
   */
  sample(
    first: number,
    labels: Int32Array,
    onModelEvaluation?: (batch: BatchRange) => void,
  ): AsyncGenerator<SampledBatch>;
}

/**
 * Compiles the sampler of a model: the one loop behind all generation. Batches have a fixed number of rows, and the last
 * one is padded, so that an image does not depend on how many there are.
 * @throws InputError for a batch without images, or settings that do not fit the model's process.
 */
export async function batchSampler(request: SampleRequest): Promise<BatchSampler> {
  const { model, internalBatch = 32 } = request;
  if (!(Number.isInteger(internalBatch) && internalBatch >= 1)) {
    throw new InputError(`generate: an internal batch has at least 1 image, got ${internalBatch}`);
  }
  const batch = Math.max(2, internalBatch); // one row takes another kernel and gives other bits
  const process = request.process ?? processOf(model.family.process);
  const sampler = await compileSampler({ ...request, batch }, process, request);
  const { modelEvaluations, settings, derived } = sampler;
  return {
    batch,
    modelEvaluations,
    settings,
    derived,
    release: () => sampler.release(),
    async *sample(start, labels, onModelEvaluation) {
      requireKnownLabels(labels, model.config);
      for (let at = 0; at < labels.length; at += batch) {
        const own = labels.subarray(at, at + batch);
        const range = { first: start + at, rows: own.length };
        const y = new Int32Array(batch);
        y.set(own);
        const images = await sampler.sample({ ...range, y, onModelEvaluation: () => onModelEvaluation?.(range) });
        yield { first: range.first, images: images.rows(0, range.rows) as NDArray<"float32">, labels: own };
      }
    },
  };
}

/** @throws InputError naming the first label that is none of the model's. */
function requireKnownLabels(labels: Int32Array, { numClasses, nullClass }: ModelConfig): void {
  const hasNone = hasNullClass({ nullClass });
  const wrong = labels.find((label) => label < 0 || label > numClasses || (label === numClasses && !hasNone));
  if (wrong === undefined) return;
  const none = hasNone ? ` (${numClasses}: none)` : "";
  throw new InputError(`generate: unknown label ${wrong}; the model knows 0 to ${numClasses - 1}${none}`);
}

export interface SampleImagesRequest extends SampleRequest {
  /** One class for each image (numClasses: no class), or how many images: their classes are then 0, 1, … in turn. */
  readonly labels: Int32Array | number;
  /** Called after every model evaluation. */
  readonly onProgress?: (progress: SampleProgress) => void;
}

export interface SampleProgress {
  /** Model evaluations made, and those there will be, if that is known. */
  readonly evaluations: number;
  readonly of: number | undefined;
  /** Finished images. */
  readonly images: number;
}

export interface SampledImages {
  /** [N, C, S, S], about [−1, 1], not clipped. */
  readonly images: NDArray<"float32">;
  /** [N] */
  readonly labels: Int32Array;
  /** Without building the session. */
  readonly seconds: number;
  readonly secondsPerImage: number;
  /** Every setting of the sampler, and what follows from them: the timesteps it visits, for instance. */
  readonly settings: ImageSampler["settings"];
  readonly derived: ImageSampler["derived"];
  /** Model evaluations of one internal batch per second (a guided evaluation counts once). */
  readonly iterationsPerSecond: number;
}

/**
 * Samples images in fixed batches, so that another number of images gives the same ones.
 * @throws InputError for labels the model does not know, no images, or steps that do not exist; the signal's reason if aborted.
 */
export async function sampleImages(request: SampleImagesRequest): Promise<SampledImages> {
  const { model, onProgress, signal } = request;
  const { numClasses, inChannels, inputSize } = model.config;
  const count = typeof request.labels === "number" ? request.labels : request.labels.length;
  if (!(Number.isInteger(count) && count > 0))
    throw new InputError(`generate: expected at least 1 image, got ${count}`);
  const labels = typeof request.labels === "number" ? balancedLabels(count, numClasses) : request.labels;
  requireKnownLabels(labels, model.config); // before anything is compiled
  const imageShape = [inChannels, inputSize, inputSize];
  const images = new Float32Array(count * sizeOf(imageShape));
  const sampler = await batchSampler(request);
  const { modelEvaluations: each, settings, derived } = sampler;
  const of = each === undefined ? undefined : Math.ceil(count / sampler.batch) * each;
  let evaluations = 0;
  const started = performance.now();
  try {
    const onModelEvaluation = ({ first, rows }: BatchRange) => {
      signal?.throwIfAborted();
      evaluations++;
      const isLast = each !== undefined && evaluations % each === 0;
      onProgress?.({ evaluations, of, images: isLast ? first + rows : first });
    };
    for await (const batch of sampler.sample(0, labels, onModelEvaluation)) {
      if (each === undefined) onProgress?.({ evaluations, of, images: batch.first + batch.labels.length });
      images.set(batch.images.data, batch.first * sizeOf(imageShape));
    }
  } finally {
    await sampler.release();
  }
  const seconds = (performance.now() - started) / 1000;
  return {
    images: float32(images, [count, ...imageShape]),
    labels,
    settings,
    derived,
    seconds,
    secondsPerImage: seconds / count,
    iterationsPerSecond: evaluations / seconds,
  };
}

/** The classes 0 … classes − 1 in turn. */
export function balancedLabels(count: number, classes: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => i % classes);
}

export const labelModes = ["uniform", "balanced"] as const;

/** Which class each image of a set is asked to be: a function of the image's number, whatever the size of the set. */
export interface LabelPlan {
  /**
   * Drawn at random for each image, as ADM, DiT and TinyFusion do for their numbers, or in turn. Equal shares of all
   * classes make the Fréchet distance to a balanced reference a little lower.
   */
  readonly mode: (typeof labelModes)[number];
  readonly classes: readonly number[];
  readonly seed: number;
}

/** The labels of the first `count` images. */
export function labelsFrom({ mode, classes, seed }: LabelPlan, count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, index) => {
    if (mode === "balanced") return classes[index % classes.length]!;
    const [place] = integers({ seed, purpose: "class label", step: 0, index }, 1, classes.length);
    return classes[place!]!;
  });
}
