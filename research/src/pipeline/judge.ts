/** What a model is worth: its loss on fixed examples, and the scores of images that it draws. */
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
import { type Lab, secondsSince } from "../trials/trial.ts";
import type { Subject, SubjectSpec } from "./benchmark.ts";

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

export interface Judged {
  /** Absent if the model diverged: what it samples is no image. */
  readonly scores?: Scores;
  /** Of drawing, with building the session, and of judging. */
  readonly sampleSeconds: number;
  readonly scoreSeconds: number;
  /** Of drawing alone; of a model that diverged, of all that was tried. */
  readonly secondsPerImage: number;
}

export interface JudgeRequest {
  readonly spec: SubjectSpec;
  readonly subject: Subject;
  readonly model: LoadedModel;
  /** How many images, their classes in turn. */
  readonly images: number;
  readonly seed: number;
}

/** Draws and scores. */
export async function judge(
  lab: Lab,
  { spec, subject, model: file, images: count, seed }: JudgeRequest,
): Promise<Judged> {
  const { engine, signal } = lab;
  const started = performance.now();
  const { model, tensors: weights, process } = file;
  const request = { engine, model, weights, process, seed, labels: count, ...spec.sampling, signal };
  const generated = await sampleImages(request).catch((error: unknown) => {
    if (!(error instanceof DivergedError)) throw error;
  });
  const sampleSeconds = secondsSince(started);
  if (!generated) return { sampleSeconds, scoreSeconds: 0, secondsPerImage: sampleSeconds / count };
  const drawn = performance.now();
  const { images, labels, secondsPerImage } = generated;
  const reference = subject.reference ?? (await packagedReference(engine));
  const scored = { engine, images, labels, reference, settings: scoreSettings, rounded: false };
  const scores = scoresOf(await scoreDigits(scored));
  return { scores, sampleSeconds, scoreSeconds: secondsSince(drawn), secondsPerImage };
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
  lab: Lab,
  { model, tensors, process }: LoadedModel,
  data: TrainingSet,
  examples: number,
  seed: number,
): Promise<number | undefined> {
  const settings = { seed, examples, process, signal: lab.signal };
  const losses = await compileCalibrationLoss(lab.engine, model, data, settings);
  try {
    const loss = await losses.loss(tensors);
    return Number.isFinite(loss) ? loss : undefined;
  } finally {
    await losses.release();
  }
}
