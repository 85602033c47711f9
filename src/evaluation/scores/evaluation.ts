/** What an evaluation consists of: its request and settings, scores, checks of itself, and warnings. */

import type { ImageSet } from "../../data/images/image-set.ts";
import { digitNetworkName } from "../features/digit-network.ts";
import type { FeatureNetwork, ImageFeatures } from "../features/extract-features.ts";
import type { MetricKernels } from "../metrics/kernels.ts";
import type { Reference } from "../reference/reference.ts";

export type ScoreKey =
  | "frechet"
  | "spatialFrechet"
  | "inceptionScore"
  | "precision"
  | "recall"
  | "kernelDistance"
  | "frechetInfinity"
  | "floor"
  | "labelAccuracy";

/** One number. */
export interface Score {
  readonly key: ScoreKey;
  /** Its name with these features: FID, FD-digits. */
  readonly name: string;
  readonly value: number;
  readonly standardError?: number;
  readonly better: "lower" | "higher";
  /** What the number depends on, and how its error was found. */
  readonly detail: string;
}

/** Whether the numbers can be what they say. */
export interface Checks {
  /** Fréchet distance of the reference to itself: 0 but for rounding. */
  readonly referenceToItself: number;
  /** |d(samples, reference) − d(reference, samples)| of the Fréchet distance. */
  readonly swapDifference: number;
  /** Sum of negative eigenvalues that were set to 0 in the Fréchet distance. */
  readonly clippedEigenvalues: number;
}

/** A generated image and the image of the reference that it is nearest to, by features. */
export interface NearestPair {
  readonly sample: number;
  /** Among the reference's kept features. */
  readonly reference: number;
  readonly distance: number;
}

/** Are samples copies? Distances to the nearest reference image, beside those among reference images. */
export interface Memorisation {
  readonly medianToReference: number;
  readonly medianWithinReference: number;
  /** Share of samples that are nearer to a reference image than 99% of reference images are to each other. */
  readonly suspiciousShare: number;
  /** The nearest pairs of all, nearest first. */
  readonly closest: readonly NearestPair[];
}

/** The score of this key. @throws RangeError if the evaluation has none. */
export function scoreOf({ scores }: Pick<Evaluation, "scores">, key: ScoreKey): Score {
  const found = scores.find((score) => score.key === key);
  if (!found) throw new RangeError(`evaluation: expected the score ${key}, found ${scores.map((one) => one.key)}`);
  return found;
}

export interface Evaluation {
  readonly samples: { readonly name: string; readonly count: number; readonly size: readonly [number, number] };
  readonly reference: { readonly name: string; readonly count?: number; readonly keptFeatures?: number };
  readonly network: Pick<FeatureNetwork, "name" | "settings">;
  readonly scores: readonly Score[];
  readonly checks: Checks;
  readonly memorisation?: Memorisation;
  readonly warnings: readonly string[];
}

export interface ScoreSettings {
  /** Nearest neighbours of precision and recall. */
  readonly neighbours: number;
  /** Images of a split of the Inception Score. */
  readonly splitSize: number;
  /** Of the kernel distance; by default the median distance within the reference. */
  readonly bandwidth?: number;
  /** Standard errors, which take ten times as long. */
  readonly errors: boolean;
  /** FID∞: 15 more Fréchet distances. */
  readonly infinity: boolean;
  /** Real-versus-real baseline: random subsets of held-out images whose distances are averaged; `purpose` keys them. */
  readonly baseline: { readonly purpose: string; readonly subsets: number };
}

export const scoreDefaults: ScoreSettings = {
  neighbours: 3,
  splitSize: 5000,
  errors: true,
  infinity: false,
  baseline: { purpose: "floor", subsets: 1 },
};

export interface ScoreRequest {
  readonly kernels: MetricKernels;
  readonly network: FeatureNetwork;
  readonly images: ImageSet;
  /** Of all `images`, in order. */
  readonly features: ImageFeatures;
  readonly reference: Reference;
  readonly settings: ScoreSettings;
  /** Called with what is computed next. */
  readonly onStage?: (what: string) => void;
  readonly signal?: AbortSignal;
}

/** Rows of features in an order in which every tenth row is a fair tenth. */
export type FairOrder = Int32Array;

/** What the makers of scores are given. */
export interface Scoring extends ScoreRequest {
  readonly order: FairOrder;
  /** Stops if asked to, and says what comes next. */
  stage(what: string): void;
}

/** Whether the features are the digit classifier's, whose scores have names of their own. */
export const isOfDigits = ({ network }: Pick<Scoring, "network">): boolean => network.name === digitNetworkName;
