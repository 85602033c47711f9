/** `decision.json`: which blocks stay, how sure that is, and how it came about. */
import type { Decision, GateGroup } from "./gates.ts";
import { printGroups } from "./groups.ts";
import type { DecisionMoment, MaskLearning } from "./mask-learning.ts";

export interface DecisionFile {
  readonly method: "learned" | "indices";
  readonly depth: number;
  readonly kept: readonly number[];
  readonly groups?: string;
  /** From the averaged gates, which decide: probability of each block, confidence of each group. */
  readonly averaged?: Decision;
  /** The same from the gates themselves. */
  readonly raw?: Decision;
  /** Steps after which the decision changed. */
  readonly flips?: readonly number[];
  readonly steps?: number;
  readonly history?: readonly DecisionMoment[];
}

/** The decision a finished mask learning stands for. */
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
