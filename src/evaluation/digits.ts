/** How good generated digits are: FD-digits, label accuracy, precision and recall, and what real digits would score. */
import { InputError } from "../array/input-error.ts";
import { NDArray } from "../array/ndarray.ts";
import { permutation } from "../array/random.ts";
import { type LabeledImages, loadDigits } from "../data/digits.ts";
import type { Engine } from "../engine/engine.ts";
import {
  classifierInput,
  type DigitClassifier,
  digitFeatures,
  loadDigitClassifier,
} from "./features/digit-features.ts";
import { type Features, rowsOf, someRows } from "./metrics/feature-rows.ts";
import { type FrechetTo, frechetJackknife, frechetTo } from "./metrics/frechet.ts";
import { type GaussianStats, gaussianStats, groupedStats } from "./metrics/gaussian-stats.ts";
import { FEWEST_JACKKNIFE_ROWS, JACKKNIFE_GROUPS, type Jackknife } from "./metrics/jackknife.ts";
import { type MetricKernels, withMetricKernels } from "./metrics/kernels.ts";
import { shareInside, squaredRadii } from "./metrics/precision-recall.ts";

/** What real digits look like to the classifier. */
export interface DigitReference {
  readonly classifier: DigitClassifier;
  /** Of all training digits. */
  readonly stats: GaussianStats;
  /** Some training digits, and the squared distance of each to its k-th neighbour. */
  readonly manifold: { readonly features: Features; readonly radii: Float64Array };
  /** Digits that neither a model nor the classifier was trained on. */
  readonly heldOut: Features;
}

/** Real digits at the same number of images: no model can be expected to score lower. */
export interface DigitFloor {
  /** Images of each draw: as asked, or all held-out digits if there are fewer. */
  readonly n: number;
  readonly draws: number;
  readonly mean: number;
  /** Over the draws; 0 for one draw. */
  readonly standardDeviation: number;
}

/** Images of one class: asked for, taken for it by the classifier, and both. */
export interface ClassCount {
  readonly class: number;
  readonly wanted: number;
  readonly predicted: number;
  readonly correct: number;
}

export interface DigitReport {
  readonly n: number;
  /** Share of images that the classifier takes for the class they were asked to be. */
  readonly labelAccuracy: number;
  /** Fréchet distance on the classifier's 64 features to the training digits. Not comparable with any FID. */
  readonly fdDigits: Jackknife;
  readonly floor: DigitFloor;
  /** Improved precision and recall against `manifoldSize` training digits. */
  readonly precision: number;
  readonly recall: number;
  readonly neighbours: number;
  readonly manifoldSize: number;
  readonly perClass: readonly ClassCount[];
}

export interface EvaluateDigitsRequest {
  readonly engine: Engine;
  /** [N, 1, 28, 28], about [−1, 1]; clipped here, as a picture would be. */
  readonly images: NDArray<"float32">;
  /** [N], the classes asked for. */
  readonly labels: Int32Array;
  /** The packaged digits by default, computed once for each engine. */
  readonly reference?: DigitReference;
}

const NEIGHBOURS = 3;
/** Recall depends on it: numbers of another size cannot be compared. */
const MANIFOLD_SIZE = 2000;
const FLOOR_DRAWS = 5;

/** Evaluates digits. @throws InputError for fewer than 20 images, or labels that are no class of the classifier. */
export async function evaluateDigits(request: EvaluateDigitsRequest): Promise<DigitReport> {
  const { engine, images, labels } = request;
  const n = labels.length;
  if (images.shape[0] !== n) throw new InputError(`evaluation: ${images.shape[0]} images have ${n} labels`);
  if (n < FEWEST_JACKKNIFE_ROWS) {
    throw new InputError(`evaluation: needs at least ${FEWEST_JACKKNIFE_ROWS} images for a standard error, got ${n}`);
  }
  const { classifier, stats, manifold, heldOut } = request.reference ?? (await packagedReference(engine));
  const { features, predicted } = await digitFeatures(engine, clipped(images), classifier);
  const perClass = countClasses(labels, predicted, classifier.config.numClasses);
  return withMetricKernels(engine, async (kernels) => {
    const distanceTo = await frechetTo(kernels, stats);
    const grouped = await groupedStats(kernels, sortedByClass(features, labels), JACKKNIFE_GROUPS);
    const radii = await squaredRadii(kernels, features, NEIGHBOURS);
    return {
      n,
      labelAccuracy: perClass.reduce((total, { correct }) => total + correct, 0) / n,
      fdDigits: await frechetJackknife(distanceTo, grouped),
      floor: await floorAt(kernels, n, heldOut, distanceTo),
      precision: await shareInside(kernels, features, manifold.features, manifold.radii),
      recall: await shareInside(kernels, manifold.features, features, radii),
      neighbours: NEIGHBOURS,
      manifoldSize: manifold.radii.length,
      perClass,
    };
  });
}

/** The reference of any digits: `train` is what generated ones are compared with, `heldOut` gives the floor. */
export async function digitReference(
  engine: Engine,
  { train, heldOut }: { readonly train: LabeledImages; readonly heldOut: LabeledImages },
  classifier: DigitClassifier = loadDigitClassifier(),
): Promise<DigitReference> {
  const trained = (await digitFeatures(engine, classifierInput(train.images), classifier)).features;
  const unseen = (await digitFeatures(engine, classifierInput(heldOut.images), classifier)).features;
  const seen = rowsOf(trained, someRows(trained.shape[0]!, MANIFOLD_SIZE, "digit manifold"));
  return withMetricKernels(engine, async (kernels) => ({
    classifier,
    stats: await gaussianStats(kernels, trained),
    manifold: { features: seen, radii: await squaredRadii(kernels, seen, NEIGHBOURS) },
    heldOut: unseen,
  }));
}

const references = new WeakMap<Engine, Promise<DigitReference>>();

function packagedReference(engine: Engine): Promise<DigitReference> {
  const known = references.get(engine);
  if (known) return known;
  const reference = digitReference(engine, loadDigits());
  references.set(engine, reference);
  reference.catch(() => references.delete(engine)); // so that a later call tries again
  return reference;
}

const clipped = (images: NDArray<"float32">): NDArray<"float32"> =>
  new NDArray(
    "float32",
    images.shape,
    images.data.map((x) => Math.min(1, Math.max(-1, x))),
  );

function countClasses(labels: Int32Array, predicted: Int32Array, classes: number): ClassCount[] {
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

/** FD-digits of `draws` random sets of n held-out digits: what perfect samples would score. */
async function floorAt(
  kernels: MetricKernels,
  n: number,
  heldOut: Features,
  distanceTo: FrechetTo,
): Promise<DigitFloor> {
  const size = Math.min(n, heldOut.shape[0]!);
  const draws = size === heldOut.shape[0] ? 1 : FLOOR_DRAWS;
  const distances: number[] = [];
  for (let draw = 0; draw < draws; draw++) {
    const order = permutation({ seed: 0, purpose: "digit floor", step: draw, index: 0 }, heldOut.shape[0]!);
    const stats = await gaussianStats(kernels, rowsOf(heldOut, order.subarray(0, size)));
    distances.push((await distanceTo(stats)).distance);
  }
  const mean = distances.reduce((sum, x) => sum + x, 0) / draws;
  const squares = distances.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return { n: size, draws, mean, standardDeviation: draws > 1 ? Math.sqrt(squares / (draws - 1)) : 0 };
}

/** Classes often come in turn; the jackknife leaves out every tenth row, which must not be one class. */
function sortedByClass(features: Features, labels: Int32Array): Features {
  const rows = Array.from(labels.keys()).sort((a, b) => labels[a]! - labels[b]! || a - b);
  return rowsOf(features, Int32Array.from(rows));
}
