/** Steps, examples and seeds of the trials of studies: one table, so that variants differ in nothing else. */

export interface Budget {
  readonly name: "full" | "tiny";
  /** Mask learning. */
  readonly searchSteps: number;
  readonly searchBatch: number;
  /** Examples that scores and losses of masks are measured on. */
  readonly calibration: number;
  /** Random masks of `random-median` and `min-loss`. */
  readonly candidates: number;
  /** Random masks whose losses are measured. */
  readonly masks: number;
  readonly recoverySteps: number;
  readonly recoveryBatch: number;
  /** Images that are sampled and scored. */
  readonly images: number;
  /** Held-out examples of the loss after recovery. */
  readonly heldOut: number;
  /** Width pruning: images, and timesteps each is noised at. */
  readonly widthExamples: number;
  readonly widthTimesteps: number;
  /** Search lengths that are compared. */
  readonly searchLengths: readonly number[];
  /** Rounds in which models sample in turn to be timed. */
  readonly timedRounds: number;
  /** Training of a classifier and of a teacher for data that have none. */
  readonly classifierSteps: number;
  readonly teacherSteps: number;
  /** Seeds 0 … n − 1 of primary comparisons, and of all others. */
  readonly primarySeeds: number;
  readonly otherSeeds: number;
}

export const budgets = {
  // Search and recovery are the demo's, whose settings were tuned on the learned mask alone (LOG.md).
  full: {
    name: "full",
    searchSteps: 600,
    searchBatch: 16,
    calibration: 256,
    candidates: 100,
    masks: 1000,
    recoverySteps: 1000,
    recoveryBatch: 16,
    images: 1000,
    heldOut: 512,
    widthExamples: 128,
    widthTimesteps: 100,
    searchLengths: [150, 300, 600, 1200],
    timedRounds: 9,
    classifierSteps: 4000,
    teacherSteps: 12_000,
    primarySeeds: 8,
    otherSeeds: 3,
  },
  // For tests and impatient people: everything runs, no number means anything.
  tiny: {
    name: "tiny",
    searchSteps: 3,
    searchBatch: 4,
    calibration: 16,
    candidates: 3,
    masks: 6,
    recoverySteps: 3,
    recoveryBatch: 4,
    images: 40,
    heldOut: 16,
    widthExamples: 4,
    widthTimesteps: 2,
    searchLengths: [2, 3],
    timedRounds: 2,
    classifierSteps: 3,
    teacherSteps: 3,
    primarySeeds: 3,
    otherSeeds: 2,
  },
} as const satisfies Record<string, Budget>;

/** The seeds 0 … count − 1. */
export const seedsUpTo = (count: number): number[] => Array.from({ length: count }, (_, seed) => seed);
