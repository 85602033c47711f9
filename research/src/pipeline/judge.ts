/** What a model is worth: its loss on fixed examples, and the scores of images that it draws. */
import {
  compileCalibrationLoss,
  DivergedError,
  evaluateDigits,
  generate,
  type LoadedModel,
  type NDArray,
  type TrainingSet,
} from "tinyfusion";
import { type Lab, secondsSince } from "../cells/lab.ts";
import type { Subject, SubjectSpec } from "./subject.ts";

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
  const generated = await generate(request).catch((error: unknown) => {
    if (!(error instanceof DivergedError)) throw error;
  });
  const sampleSeconds = secondsSince(started);
  if (!generated) return { sampleSeconds, scoreSeconds: 0, secondsPerImage: sampleSeconds / count };
  const drawn = performance.now();
  const { images, labels, secondsPerImage } = generated;
  const scores = await scoresOf(lab, subject, images, labels);
  return { scores, sampleSeconds, scoreSeconds: secondsSince(drawn), secondsPerImage };
}

async function scoresOf(lab: Lab, { reference }: Subject, images: NDArray<"float32">, labels: Int32Array) {
  const { fdDigits, floor, labelAccuracy, precision, recall } = await evaluateDigits({
    ...{ engine: lab.engine, images, labels },
    ...(reference && { reference }),
  });
  const { estimate: distance, standardError: distanceError } = fdDigits;
  return { distance, distanceError, floor: floor.mean, labelAccuracy, precision, recall };
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
