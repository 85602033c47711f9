/** Images from a model. The content of image i depends on (seed, i) and its label only. B internal batch, C channels, S side. */
import { InputError } from "../array/input-error.ts";
import { float32, int32, type NDArray, sizeOf } from "../array/ndarray.ts";
import { normalsInto } from "../array/random.ts";
import { respace } from "../diffusion/respace.ts";
import { reverseStep, type Sampler, sampleLoop, withGuidance } from "../diffusion/samplers.ts";
import { namedSchedule, type Schedule } from "../diffusion/schedule.ts";
import { input } from "../graph/build.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Model } from "../models/registry.ts";
import { Params } from "../nn/params.ts";
import { type RunBlock, runEvery } from "../nn/run-block.ts";
import type { Engine, Session } from "../onnx/session.ts";

/** How noise becomes an image. */
export interface SamplingSettings {
  /** Which timesteps are visited: "ddim25", "250", "10,15,20". */
  readonly steps?: string;
  readonly sampler?: Sampler["kind"];
  /** DDIM: 0 is deterministic, 1 as noisy as DDPM. */
  readonly eta?: number;
  /** Clips predicted x_0 to [−1, 1] at each step; right for pixels, wrong for latents. */
  readonly clip?: boolean;
  /** Classifier-free guidance; 1 is none and costs half. */
  readonly cfgScale?: number;
  /** Leading channels of the noise that are guided: all by default; the original guides 3 of 4. */
  readonly cfgChannels?: number;
}

/** The settings where a request says nothing. */
export const samplingDefaults = { steps: "ddim25", sampler: "ddim", eta: 0, clip: false, cfgScale: 2 } as const;

export interface GenerateRequest extends SamplingSettings {
  readonly engine: Engine;
  readonly model: Model;
  readonly weights: ReadonlyMap<string, NDArray>;
  /** One class for each image (numClasses: no class), or how many images: their classes are then 0, 1, … in turn. */
  readonly labels: Int32Array | number;
  readonly seed: number;
  /** The process the model was trained on; default: linear, 1,000 steps. */
  readonly schedule?: Schedule;
  /** Runs only some blocks, for instance. */
  readonly runBlock?: RunBlock;
  /** Images computed together, at least 2; the last batch is padded. */
  readonly internalBatch?: number;
  /** Told after every denoiser evaluation. */
  readonly onProgress?: (progress: GenerateProgress) => void;
  readonly signal?: AbortSignal;
}

export interface GenerateProgress {
  /** Denoiser evaluations made, and those there will be. */
  readonly evaluations: number;
  readonly of: number;
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
  /** Denoiser evaluations of one internal batch per second (a guided evaluation counts once). */
  readonly iterationsPerSecond: number;
}

/**
 * Samples images in fixed batches, so that another number of images gives the same ones.
 * @throws InputError for labels the model does not know, no images, or steps that do not exist; the signal's reason if aborted.
 */
export async function generate(request: GenerateRequest): Promise<Generated> {
  const { model, engine, internalBatch = 32 } = request;
  const labels = labelsOf(request);
  if (!(Number.isInteger(internalBatch) && internalBatch >= 2)) {
    throw new InputError(`generate: an internal batch has at least 2 images, got ${internalBatch}`);
  }
  const { schedule, isNoisy, outputs } = stepGraph(request, internalBatch);
  const imageShape = [model.config.inChannels, model.config.inputSize, model.config.inputSize];
  const images = new Float32Array(labels.length * sizeOf(imageShape));
  const session = await engine.compile({ outputs });
  const started = performance.now();
  try {
    for (let first = 0; first < labels.length; first += internalBatch) {
      const y = labels.subarray(first, first + internalBatch);
      const batch = await sampleBatch(session, { schedule, isNoisy }, request, {
        ...{ first, y, shape: [internalBatch, ...imageShape] },
      });
      images.set(batch.rows(0, y.length).data as Float32Array, first * sizeOf(imageShape));
    }
  } finally {
    await session.release();
  }
  const seconds = (performance.now() - started) / 1000;
  const evaluations = Math.ceil(labels.length / internalBatch) * schedule.betas.length;
  return {
    images: float32(images, [labels.length, ...imageShape]),
    labels,
    seconds,
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
  const wrong = labels.find((label) => label < 0 || label > numClasses);
  if (wrong !== undefined) {
    throw new InputError(
      `generate: unknown label ${wrong}; the model knows 0 to ${numClasses - 1} (${numClasses}: none)`,
    );
  }
  return labels;
}

/** Which steps are taken, and whether they read fresh noise. */
interface Steps {
  readonly schedule: Schedule;
  readonly isNoisy: boolean;
}

/** One reverse step for B images. */
function stepGraph(request: GenerateRequest, rows: number): Steps & { readonly outputs: { sample: Tensor } } {
  const { model, runBlock = runEvery } = request;
  const { steps, sampler, eta, clip, cfgScale } = { ...samplingDefaults, ...request };
  const { config, family } = model;
  const schedule = respace(request.schedule ?? namedSchedule("linear", 1000), steps);
  const cfgChannels = request.cfgChannels ?? config.inChannels;
  if (!(Number.isInteger(cfgChannels) && cfgChannels >= 1 && cfgChannels <= config.inChannels)) {
    throw new InputError(`generate: guidance of ${cfgChannels} channels, the model's noise has ${config.inChannels}`);
  }
  const p = new Params();
  const predict = (inputs: { x: Tensor; t: Tensor; y: Tensor }) => family.predict(p, config, inputs, runBlock);
  const shape = [rows, config.inChannels, config.inputSize, config.inputSize];
  const { sample } = reverseStep(
    withGuidance(predict, cfgScale, cfgChannels, config.numClasses),
    schedule,
    sampler === "ddim" ? { kind: "ddim", eta, clip } : { kind: "ddpm", clip },
    {
      x: input("x", shape),
      index: input("index", [rows], "int32"),
      y: input("y", [rows], "int32"),
      noise: input("noise", shape),
    },
  );
  return { schedule, isNoisy: sampler === "ddpm" || eta !== 0, outputs: { sample } };
}

/** From the noise of images `first` … to their x_0; rows beyond the labels `y` are padding. */
async function sampleBatch(
  session: Session,
  { schedule, isNoisy }: Steps,
  { seed, weights, labels, onProgress, signal }: GenerateRequest,
  { first, y, shape }: { first: number; y: Int32Array; shape: readonly number[] },
): Promise<NDArray> {
  const steps = schedule.betas.length;
  const padded = new Int32Array(shape[0]!);
  padded.set(y);
  const total = typeof labels === "number" ? labels : labels.length;
  const batches = Math.ceil(total / padded.length);
  // Fed, not frozen into the session: as fast for the models that fit, and without a limit of size.
  const fed = Object.fromEntries(weights);
  const noiseOf = (step: number) => drawNoise(seed, step, first, y.length, shape);
  return sampleLoop(schedule, noiseOf(0), async (x, index) => {
    signal?.throwIfAborted();
    const noise = isNoisy ? { noise: noiseOf(steps - index) } : {};
    const feeds = { ...fed, ...noise, x, y: int32(padded), index: int32(new Int32Array(padded.length).fill(index)) };
    const { sample } = await session.run(feeds);
    onProgress?.({
      evaluations: (first / padded.length) * steps + steps - index,
      of: batches * steps,
      images: index === 0 ? first + y.length : first,
    });
    return sample!;
  });
}

/** The normal numbers of images `first` … at `step`: 0 is the start, k the k-th reverse step. Padding rows are 0. */
function drawNoise(seed: number, step: number, first: number, rows: number, shape: readonly number[]): NDArray {
  const noise = new Float32Array(sizeOf(shape));
  const size = noise.length / shape[0]!;
  for (let row = 0; row < rows; row++) {
    normalsInto(noise.subarray(row * size, (row + 1) * size), {
      seed,
      purpose: "sample noise",
      step,
      index: first + row,
    });
  }
  return float32(noise, shape);
}
