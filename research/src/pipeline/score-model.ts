/** How good a model is: its loss on fixed examples, and the scores of images that it samples. */
import {
  compileCalibrationLoss,
  type DigitEvaluation,
  type DigitReference,
  DivergedError,
  digitReference,
  type Engine,
  type LoadedModel,
  type ScoreKey,
  sampleImages,
  scoreDefaults,
  scoreDigits,
  scoreOf,
  type TrainingSet,
} from "tinyfusion";
import { type StudyContext, secondsSince } from "../trials/trial.ts";
import type { BenchmarkModel, OpenedBenchmark } from "./benchmark.ts";

export interface Scores {
  /** FD-digits of all images, with its jackknife standard error. */
  readonly distance: number;
  readonly distanceError: number;
  /** The same of as many real images. */
  readonly floor: number;
  readonly labelAccuracy: number;
  readonly precision: number;
  readonly recall: number;
}

export interface Scored {
  /** Absent if the model diverged: what it samples is no image. */
  readonly scores?: Scores;
  /** Of sampling, with building the session, and of scoring. */
  readonly sampleSeconds: number;
  readonly scoreSeconds: number;
  /** Of sampling alone; of a model that diverged, of all that was tried. */
  readonly secondsPerImage: number;
}

export interface ScoreRequest {
  readonly benchmark: BenchmarkModel;
  readonly opened: OpenedBenchmark;
  readonly model: LoadedModel;
  /** How many images, their classes in turn. */
  readonly images: number;
  readonly seed: number;
}

/** Samples images and scores them. */
export async function scoreModel(
  context: StudyContext,
  { benchmark, opened, model: file, images: count, seed }: ScoreRequest,
): Promise<Scored> {
  const { engine, signal } = context;
  const started = performance.now();
  const { model, tensors: weights, process } = file;
  const request = { engine, model, weights, process, seed, labels: count, ...benchmark.sampling, signal };
  const generated = await sampleImages(request).catch((error: unknown) => {
    if (!(error instanceof DivergedError)) throw error;
  });
  const sampleSeconds = secondsSince(started);
  if (!generated) return { sampleSeconds, scoreSeconds: 0, secondsPerImage: sampleSeconds / count };
  const sampled = performance.now();
  const { images, labels, secondsPerImage } = generated;
  const reference = opened.reference ?? (await packagedReference(engine));
  const scored = { engine, images, labels, reference, settings: scoreSettings, rounded: false };
  const scores = scoresOf(await scoreDigits(scored));
  return { scores, sampleSeconds, scoreSeconds: secondsSince(sampled), secondsPerImage };
}

/**
 * What the committed results were made with, and all are: images that are clipped and not rounded to bytes, fewer training
 * digits for precision and recall, and the mean of five baselines.
 */
const scoreSettings = { ...scoreDefaults, baseline: { purpose: "digit floor", subsets: 5 } };
export const REFERENCE_ROWS = 2000;

const references = new WeakMap<Engine, Promise<DigitReference>>();

function packagedReference(engine: Engine): Promise<DigitReference> {
  const reference = references.get(engine) ?? digitReference(engine, { rows: REFERENCE_ROWS });
  references.set(engine, reference);
  return reference;
}

/** The scores that results keep. */
export function scoresOf(evaluation: DigitEvaluation): Scores {
  const value = (key: ScoreKey) => scoreOf(evaluation, key).value;
  return {
    distance: value("frechet"),
    distanceError: scoreOf(evaluation, "frechet").standardError!,
    floor: value("floor"),
    labelAccuracy: value("labelAccuracy"),
    precision: value("precision"),
    recall: value("recall"),
  };
}

/** Mean loss of a model on the first examples that the seed draws; undefined if it is not finite. */
export async function fixedLoss(
  context: StudyContext,
  { model, tensors, process }: LoadedModel,
  data: TrainingSet,
  examples: number,
  seed: number,
): Promise<number | undefined> {
  const settings = { seed, examples, process, signal: context.signal };
  const losses = await compileCalibrationLoss(context.engine, model, data, settings);
  try {
    const loss = await losses.loss(tensors);
    return Number.isFinite(loss) ? loss : undefined;
  } finally {
    await losses.release();
  }
}
