/** Every way to choose blocks, by name. */
import { indices } from "../fixed/indices.ts";
import { oracle } from "../fixed/oracle.ts";
import { random } from "../fixed/random.ts";
import { uniform } from "../fixed/uniform.ts";
import { minLoss, randomMedian } from "./candidates.ts";
import { fluxLite } from "./flux-lite.ts";
import { lossGreedy } from "./loss-greedy.ts";
import type { Pruner } from "./pruner.ts";
import { sensitivity } from "./sensitivity.ts";
import { shortgpt } from "./shortgpt.ts";
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
