/** What an evaluation says: scores, checks of itself, and what a reader must know before comparing them with others. */
import type { FeatureNetwork } from "../features/feature-network.ts";

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
  /** As people call it with these features: FID, FD-digits. */
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
