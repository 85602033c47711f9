/** Scores of generated digits: those of `evaluate`, by the packaged classifier against the packaged digits. */
import { InputError } from "../../array/input-error.ts";
import { float32, type NDArray } from "../../array/ndarray.ts";
import { type LabeledImages, loadDigits } from "../../data/digits.ts";
import { checkedRange, type ImageSet } from "../../data/images/image-set.ts";
import type { Engine } from "../../engine/engine.ts";
import { imageBytes } from "../../formats/image-bytes.ts";
import { openDigitNetwork, packagedClassifier, predictedClasses } from "../features/digit-network.ts";
import { extractFeatures } from "../features/extract-features.ts";
import { labeledImages } from "../images/open-image-set.ts";
import { rowsOf, someRows } from "../metrics/feature-rows.ts";
import { withMetricKernels } from "../metrics/kernels.ts";
import { makeReference, type Reference } from "../reference/reference.ts";
import { type Evaluation, type ScoreSettings, scoreDefaults } from "./evaluation.ts";
import { scoreImages } from "./score-images.ts";

/** What generated digits are compared with. */
export interface DigitReference {
  /** Path of the classifier whose features are compared. */
  readonly classifier: string;
  /** Its features of real digits. */
  readonly reference: Reference;
}

export interface DigitReferenceRequest {
  /** The packaged digits by default. */
  readonly train?: LabeledImages;
  /** Digits that neither a model nor the classifier was trained on. */
  readonly heldOut?: LabeledImages;
  /** Path of a classifier; the packaged one by default. */
  readonly classifier?: string;
  /** Training digits that precision, recall and the kernel distance compare with; all by default. */
  readonly rows?: number;
}

/** Images of one class: requested, predicted by the classifier, and both. */
export interface ClassCount {
  readonly class: number;
  readonly wanted: number;
  readonly predicted: number;
  readonly correct: number;
}

export interface DigitEvaluation extends Evaluation {
  readonly classes: readonly ClassCount[];
}

export interface ScoreDigitsRequest {
  readonly engine: Engine;
  /** [N, 1, 28, 28], about [−1, 1]. */
  readonly images: NDArray<"float32">;
  /** [N], the requested classes. */
  readonly labels: Int32Array;
  /** The packaged digits by default, computed once for each engine. */
  readonly reference?: DigitReference;
  readonly settings?: ScoreSettings;
  /** Whether images are rounded to bytes, as a stored picture is; else they are only clipped to [−1, 1]. Default: true. */
  readonly rounded?: boolean;
  /** What the images are called in scores and warnings. */
  readonly name?: string;
  /** How they were made, as `samples.json` records it. */
  readonly origin?: Readonly<Record<string, unknown>>;
}

/** Scores digits. @throws InputError for fewer than 20 images, or labels that are no class of the classifier. */
export async function scoreDigits(request: ScoreDigitsRequest): Promise<DigitEvaluation> {
  const { engine, labels, settings = scoreDefaults, rounded = true } = request;
  const images = imageSetOf(request);
  const { classifier, reference } = request.reference ?? (await packagedReference(engine));
  const network = await openDigitNetwork(engine, classifier);
  try {
    const features = rounded
      ? await extractFeatures({ network, images })
      : await network.unrounded(clipped(request.images));
    const classes = classCounts(labels, features.probabilities!);
    const evaluation = await withMetricKernels(engine, (kernels) =>
      scoreImages({ kernels, network, images, features, reference, settings }),
    );
    return { ...evaluation, classes };
  } finally {
    await network.release();
  }
}

/** Features of real digits. @throws InputError for a damaged classifier. */
export async function digitReference(engine: Engine, request: DigitReferenceRequest = {}): Promise<DigitReference> {
  const { train = loadDigits().train, heldOut = loadDigits().heldOut, rows } = request;
  const { classifier = packagedClassifier } = request;
  const network = await openDigitNetwork(engine, classifier);
  try {
    const images = labeledImages("training digits", train);
    const made = await withMetricKernels(engine, (kernels) =>
      makeReference({ kernels, network, images, keep: images.count }),
    );
    const unseen = await extractFeatures({ network, images: labeledImages("held-out digits", heldOut) });
    const reference = { ...made, heldOut: unseen.pooled };
    return { classifier, reference: rows === undefined ? reference : withFewerRows(reference, rows) };
  } finally {
    await network.release();
  }
}

function withFewerRows({ pictures: _, ...reference }: Reference, rows: number): Reference {
  const features = reference.features!;
  return { ...reference, features: rowsOf(features, someRows(features.shape[0]!, rows, "digit manifold")) };
}

const references = new WeakMap<Engine, Promise<DigitReference>>();

function packagedReference(engine: Engine): Promise<DigitReference> {
  const known = references.get(engine);
  if (known) return known;
  const reference = digitReference(engine);
  references.set(engine, reference);
  reference.catch(() => references.delete(engine)); // so that a later call tries again
  return reference;
}

function imageSetOf({ images, labels, name = "samples", origin }: ScoreDigitsRequest): ImageSet {
  const [count = 0, , height = 0, width = 0] = images.shape;
  if (count !== labels.length) throw new InputError(`evaluation: ${count} images have ${labels.length} labels`);
  return {
    name,
    count,
    height,
    width,
    labels,
    isLossy: false,
    ...(origin && { origin }),
    async read(first, rows) {
      checkedRange(first, rows, count);
      return imageBytes(images.rows(first, first + rows) as NDArray<"float32">);
    },
  };
}

const clipped = ({ data, shape }: NDArray<"float32">): NDArray<"float32"> =>
  float32(
    data.map((x) => Math.min(1, Math.max(-1, x))),
    shape,
  );

/** Counts for each of the K classes of `probabilities` [N, K]. */
function classCounts(labels: Int32Array, probabilities: NDArray<"float32">): ClassCount[] {
  const classes = probabilities.shape[1]!;
  const predicted = predictedClasses(probabilities);
  const counts = Array.from({ length: classes }, (_, k) => ({ class: k, wanted: 0, predicted: 0, correct: 0 }));
  labels.forEach((label, i) => {
    const wanted = counts[label];
    if (!wanted) throw new InputError(`evaluation: label ${label} is none of the ${classes} classes of digits`);
    wanted.wanted++;
    counts[predicted[i]!]!.predicted++;
    if (predicted[i] === label) wanted.correct++;
  });
  return counts;
}
