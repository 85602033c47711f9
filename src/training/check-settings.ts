/** Bounds of the settings that training takes, checked where a program gives them: the command line checks its own. */
import type { AdamWSettings } from "./adamw.ts";
import type { LearningRate } from "./rates.ts";

/** What a number must be, in words for the error, and whether it is. */
type Bound = readonly [expected: string, holds: (x: number) => boolean];

export const bounds = {
  count: ["a whole number from 1 on", (x) => Number.isInteger(x) && x >= 1],
  steps: ["a whole number from 0 on", (x) => Number.isInteger(x) && x >= 0],
  finite: ["a finite number", (x) => Number.isFinite(x)],
  positive: ["a finite number above 0", (x) => Number.isFinite(x) && x > 0],
  notNegative: ["a finite number from 0 on", (x) => Number.isFinite(x) && x >= 0],
  /** Infinity means off. */
  limit: ["a number from 0 on", (x) => x >= 0],
  fraction: ["a number from 0 to 1", (x) => x >= 0 && x <= 1],
  fractionAboveZero: ["a number above 0, up to 1", (x) => x > 0 && x <= 1],
  decay: ["a number from 0 to below 1", (x) => x >= 0 && x < 1],
} as const satisfies Readonly<Record<string, Bound>>;

/** Numbers by the name of their setting. @throws RangeError for the first that is out of its bound. */
export function requireSettings(settings: Readonly<Record<string, readonly [value: number, bound: Bound]>>): void {
  for (const [name, [value, [expected, holds]]] of Object.entries(settings)) {
    if (typeof value !== "number" || !holds(value)) {
      throw new RangeError(`settings: ${name} is ${String(value)}, expected ${expected}`);
    }
  }
}

/** @throws RangeError naming a part that is out of its bound. */
export function requireRate(name: string, { base, final, warmupSteps, span = 1 }: LearningRate): void {
  requireSettings({
    [`${name}.base`]: [base, bounds.notNegative],
    [`${name}.final`]: [final, bounds.notNegative],
    [`${name}.warmupSteps`]: [warmupSteps, bounds.notNegative],
    [`${name}.span`]: [span, bounds.positive],
  });
}

/** Checks the settings of every task on noised examples. @throws RangeError naming a setting that is out of its bound. */
export function requireTrainSettings(settings: {
  readonly steps: number;
  readonly batchSize: number;
  readonly microBatch: number;
  readonly labelDrop: number;
  readonly learningRate: LearningRate;
  readonly clipNorm: number;
  readonly emaDecay: number;
  readonly adamw: AdamWSettings;
}): void {
  const { beta1, beta2, epsilon, weightDecay } = settings.adamw;
  requireSettings({
    steps: [settings.steps, bounds.steps],
    batchSize: [settings.batchSize, bounds.count],
    microBatch: [settings.microBatch, bounds.count],
    labelDrop: [settings.labelDrop, bounds.fraction],
    clipNorm: [settings.clipNorm, bounds.limit],
    emaDecay: [settings.emaDecay, bounds.fraction],
    "adamw.beta1": [beta1, bounds.decay],
    "adamw.beta2": [beta2, bounds.decay],
    "adamw.epsilon": [epsilon, bounds.notNegative],
    "adamw.weightDecay": [weightDecay, bounds.notNegative],
  });
  requireRate("learningRate", settings.learningRate);
}
