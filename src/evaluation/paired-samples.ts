/** The same noise through two models: what each makes of it, and how long each takes. N images, B internal batch. */
import { InputError } from "../array/input-error.ts";
import { type NDArray, stackedRows } from "../array/ndarray.ts";
import type { Engine } from "../onnx/session.ts";
import type { ModelFile } from "../weights/model-file.ts";
import { compileSampler, type ImageSampler, type SamplingSettings } from "./samplers/image-sampler.ts";

type Contestant = Pick<ModelFile, "model" | "tensors" | "process" | "path">;
type Images = NDArray<"float32">;

export interface PairRequest {
  readonly engine: Engine;
  readonly models: readonly [Contestant, Contestant];
  /** [N] */
  readonly labels: Int32Array;
  readonly seed: number;
  readonly sampling: SamplingSettings;
  readonly signal?: AbortSignal;
  /** Told after each round: images that both models have drawn. */
  readonly onRound?: (images: number) => void;
}

export interface PairedSamples {
  /** Both [N, C, S, S]; image i of both began with the same noise. */
  readonly images: readonly [Images, Images];
  /** Medians over the rounds. */
  readonly secondsPerImage: readonly [number, number];
  /** Median over the rounds of the first model's time ÷ the second's. */
  readonly ratio: number;
  readonly rounds: number;
  /** Every setting of the samplers; both have the same. */
  readonly settings: ImageSampler["settings"];
}

/** Rounds that the images are divided into: enough for a median. */
const ROUNDS = 4;
const MOST_ROWS = 16;

/**
 * Draws N images from each model in rounds: a batch from one, the same batch from the other, the first of them by turns,
 * so that a machine that slows down does not decide.
 * @throws InputError for models that cannot be compared; the signal's reason if aborted.
 */
export async function pairedSamples(request: PairRequest): Promise<PairedSamples> {
  const { models, labels, signal } = request;
  checkComparable(...models);
  const batch = Math.min(MOST_ROWS, Math.max(2, Math.ceil(labels.length / ROUNDS)));
  const samplers: ImageSampler[] = [];
  try {
    for (const contestant of models) samplers.push(await compile(request, contestant, batch));
    for (const sampler of samplers) await warmUp(sampler, batch);
    const drawn: [Images[], Images[]] = [[], []];
    const seconds: [number[], number[]] = [[], []];
    for (let first = 0; first < labels.length; first += batch) {
      const rows = Math.min(batch, labels.length - first);
      const y = new Int32Array(batch);
      y.set(labels.subarray(first, first + rows));
      const isEven = drawn[0].length % 2 === 0;
      for (const which of isEven ? ([0, 1] as const) : ([1, 0] as const)) {
        const started = performance.now();
        const images = await samplers[which]!.sample({ first, y, rows, evaluated: () => signal?.throwIfAborted() });
        seconds[which].push((performance.now() - started) / 1000 / batch);
        drawn[which].push((images as Images).rows(0, rows));
      }
      request.onRound?.(first + rows);
    }
    return {
      images: [stackedRows(drawn[0]), stackedRows(drawn[1])],
      secondsPerImage: [median(seconds[0]), median(seconds[1])],
      ratio: median(seconds[0].map((a, i) => a / seconds[1][i]!)),
      rounds: seconds[0].length,
      settings: samplers[0]!.settings,
    };
  } finally {
    for (const sampler of samplers) await sampler.release();
  }
}

/** @throws InputError naming what differs, and in which file. */
function checkComparable(a: Contestant, b: Contestant): void {
  const facts = ({ model: { config }, process }: Contestant) => ({
    image: `images of ${config.inChannels} × ${config.inputSize} × ${config.inputSize}`,
    classes: `${config.numClasses} classes`,
    process: `a ${process.kind} process`,
  });
  const [first, second] = [facts(a), facts(b)];
  for (const key of ["image", "classes", "process"] as const) {
    if (first[key] === second[key]) continue;
    throw new InputError(
      `compare: expected two models of equal images, classes and process, found ${first[key]} in ${a.path} and ` +
        `${second[key]} in ${b.path}; choose another pair`,
    );
  }
}

const compile = ({ engine, seed, sampling }: PairRequest, { model, tensors, process }: Contestant, batch: number) =>
  compileSampler({ engine, model, weights: tensors, seed, batch }, process, sampling);

class WarmEnough extends Error {}

/** The first evaluation of a session allocates what the others use again: it is not timed. */
async function warmUp(sampler: ImageSampler, batch: number): Promise<void> {
  const evaluated = () => {
    throw new WarmEnough();
  };
  try {
    await sampler.sample({ first: 0, y: new Int32Array(batch), rows: batch, evaluated });
  } catch (error) {
    if (!(error instanceof WarmEnough)) throw error;
  }
}

/** The middle one; the mean of the two in the middle if their number is even. */
function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
}
