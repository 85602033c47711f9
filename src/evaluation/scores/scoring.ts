/** What every maker of scores is given: features, reference, settings, and an order of rows. */

import type { ImageSet } from "../../data/images/image-set.ts";
import { digitNetworkName } from "../features/digit-network.ts";
import type { FeatureNetwork, ImageFeatures } from "../features/feature-network.ts";
import type { MetricKernels } from "../metrics/kernels.ts";
import type { Reference } from "../reference/reference.ts";

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
  /** Told what is computed next. */
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
