/** Every way to choose blocks, by name. */
import { fluxLite, shortgpt } from "./block-scores.ts";
import { indices, oracle, random, uniform } from "./fixed-pruners.ts";
import { lossGreedy, minLoss, randomMedian, sensitivity } from "./loss-pruners.ts";
import type { Pruner } from "./pruner.ts";
import { taylor } from "./taylor.ts";

/** The methods that need no training. */
export const pruners = {
  shortgpt,
  "flux-lite": fluxLite,
  sensitivity,
  "loss-greedy": lossGreedy,
  taylor,
  oracle,
  uniform,
  random,
  "random-median": randomMedian,
  "min-loss": minLoss,
  indices,
} as const satisfies Readonly<Record<string, Pruner>>;

export type PrunerMethod = keyof typeof pruners;

/** All methods; `learned` trains in steps and can be resumed, so it is a task of the training loop. */
export type Method = "learned" | PrunerMethod;

export const methods = ["learned", ...(Object.keys(pruners) as PrunerMethod[])] as readonly [Method, ...Method[]];
