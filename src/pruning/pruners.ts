/** Every way to choose blocks, by name. */
import { fluxLite, shortgpt } from "./block-scores.ts";
import { indices, oracle, random, uniform } from "./fixed-pruners.ts";
import { lossGreedy, minLoss, randomMedian, sensitivity } from "./loss-pruners.ts";
import type { Pruner } from "./pruner.ts";
import { taylor } from "./taylor.ts";

/** All methods; `learned` trains in steps and can be resumed, so it is a task of the training loop. */
export const methods = [
  "learned",
  "shortgpt",
  "flux-lite",
  "sensitivity",
  "loss-greedy",
  "taylor",
  "oracle",
  "uniform",
  "random",
  "random-median",
  "min-loss",
  "indices",
] as const;

export type Method = (typeof methods)[number];

/** A method that needs no training. */
export type PrunerMethod = Exclude<Method, "learned">;

export const pruners: { readonly [M in PrunerMethod]: Pruner } = {
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
};
