/** Images from a model, all in memory. The content of image i depends on (seed, i) and its label only. C channels, S side. */
import { InputError } from "../array/input-error.ts";
import { float32, type NDArray, sizeOf } from "../array/ndarray.ts";
import { batchSampler, requireKnownLabels, type SampleRequest } from "./generation/batch-sampler.ts";
import type { ImageSampler } from "./image-sampler.ts";

export interface GenerateRequest extends SampleRequest {
  /** One class for each image (numClasses: no class), or how many images: their classes are then 0, 1, … in turn. */
  readonly labels: Int32Array | number;
  /** Told after every denoiser evaluation. */
  readonly onProgress?: (progress: GenerateProgress) => void;
  readonly signal?: AbortSignal;
}

export interface GenerateProgress {
  /** Denoiser evaluations made, and those there will be, if that is known. */
  readonly evaluations: number;
  readonly of: number | undefined;
  /** Finished images. */
  readonly images: number;
}

export interface Generated {
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
  /** Denoiser evaluations of one internal batch per second (a guided evaluation counts once). */
  readonly iterationsPerSecond: number;
}

/**
 * Samples images in fixed batches, so that another number of images gives the same ones.
 * @throws InputError for labels the model does not know, no images, or steps that do not exist; the signal's reason if aborted.
 */
export async function generate(request: GenerateRequest): Promise<Generated> {
  const { model, onProgress, signal } = request;
  const labels = labelsOf(request);
  const imageShape = [model.config.inChannels, model.config.inputSize, model.config.inputSize];
  const images = new Float32Array(labels.length * sizeOf(imageShape));
  const drawer = await batchSampler(request);
  const { evaluations: each, settings, derived } = drawer;
  const of = each === undefined ? undefined : Math.ceil(labels.length / drawer.batch) * each;
  let evaluations = 0;
  const started = performance.now();
  try {
    const onModelEvaluation = ({ first, rows }: { first: number; rows: number }) => {
      signal?.throwIfAborted();
      evaluations++;
      const isLast = each !== undefined && evaluations % each === 0;
      onProgress?.({ evaluations, of, images: isLast ? first + rows : first });
    };
    for await (const batch of drawer.draw(0, labels, onModelEvaluation)) {
      if (each === undefined) onProgress?.({ evaluations, of, images: batch.first + batch.labels.length });
      images.set(batch.images.data, batch.first * sizeOf(imageShape));
    }
  } finally {
    await drawer.release();
  }
  const seconds = (performance.now() - started) / 1000;
  return {
    images: float32(images, [labels.length, ...imageShape]),
    ...{ labels, settings, derived, seconds },
    secondsPerImage: seconds / labels.length,
    iterationsPerSecond: evaluations / seconds,
  };
}

/** The classes 0 … classes − 1 in turn. */
export function balancedLabels(count: number, classes: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => i % classes);
}

function labelsOf({ labels, model }: GenerateRequest): Int32Array {
  const { numClasses } = model.config;
  const count = typeof labels === "number" ? labels : labels.length;
  if (!(Number.isInteger(count) && count > 0))
    throw new InputError(`generate: expected at least 1 image, got ${count}`);
  if (typeof labels === "number") return balancedLabels(count, numClasses);
  requireKnownLabels(labels, model.config);
  return labels;
}
