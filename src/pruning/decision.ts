/** `decision.json`: which blocks stay, how sure that is, and how it came about. */
import type { Process } from "../diffusion/process.ts";
import type { Decision, GateGroup } from "./draw-mask.ts";
import { printGroups } from "./groups.ts";
import type { DecisionMoment, MaskLearning } from "./mask-learning.ts";
import type { MaskLoss } from "./pruner.ts";
import type { Method } from "./pruners.ts";

export interface DecisionFile {
  readonly method: Method;
  readonly depth: number;
  readonly kept: readonly number[];
  readonly groups?: string;
  /** How many blocks stay of each stack, where there were no groups. */
  readonly budget?: readonly number[];
  /** Settings of the method. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** How much each block matters [depth]: in each group the highest stay. */
  readonly scores?: readonly number[];
  /** Losses that were measured: all candidates, or the mask after each removal. */
  readonly losses?: readonly MaskLoss[];
  /** What scores and losses were measured on. */
  readonly calibration?: {
    readonly examples: number;
    readonly seed: number;
    readonly dataSha256: string;
    readonly process: Process;
  };
  /**
   * Spent on choosing. For a learned mask they are in the run's `metrics.jsonl`: the decision must be the same file
   * whether the run was interrupted or not.
   */
  readonly seconds?: number;
  /** From the averaged gates, which decide: probability of each block, confidence of each group. */
  readonly averaged?: Decision;
  /** The same from the gates themselves. */
  readonly raw?: Decision;
  /** Steps after which the decision changed. */
  readonly flips?: readonly number[];
  readonly steps?: number;
  readonly history?: readonly DecisionMoment[];
}

/** The decision of a finished mask learning. */
export function learnedDecision(
  learning: MaskLearning,
  groups: readonly GateGroup[],
  depth: number,
  steps: number,
): DecisionFile {
  const { raw, kept, confidence, probabilities } = learning.decision(steps);
  return {
    method: "learned",
    depth,
    kept,
    groups: printGroups(groups),
    averaged: { kept, confidence, probabilities },
    raw,
    flips: learning.flips,
    steps,
    history: learning.history,
  };
}
