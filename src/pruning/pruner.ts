/** The seam of pruners that do not learn: from a model, a budget and a calibration set to the blocks that stay. */
import type { TrainingSet } from "../data/training-set.ts";
import type { Engine, Weight } from "../engine/engine.ts";
import type { Model } from "../models/registry.ts";
import type { CalibrationSettings, RunHooks } from "./calibration.ts";
import type { Group } from "./groups.ts";

/** What ShortGPT's block influence is measured on. */
export type InfluenceInputs = "noised" | "clean-latents";

/** Settings of all pruners; each reads its own. */
export interface PrunerSettings {
  /** Of random masks. */
  readonly seed: number;
  /** `indices`: the blocks. */
  readonly kept?: readonly number[] | undefined;
  readonly influenceInputs: InfluenceInputs;
  /** `shortgpt`: whether the last block of each stack always stays. */
  readonly protectLast: boolean;
  /** How many random masks are compared. */
  readonly candidates: number;
  /** `taylor`: examples whose loss is a smaller fraction of the largest do not count. */
  readonly lossThreshold: number;
}

/** Input of every pruner. */
export interface PrunerContext {
  readonly model: Model;
  /** How many blocks stay of which: N:M groups, or one group for each stack. */
  readonly groups: readonly Group[];
  readonly settings: PrunerSettings;
}

/** Input of a pruner that runs the model. */
export interface CalibratedContext extends PrunerContext {
  readonly engine: Engine;
  readonly weights: ReadonlyMap<string, Weight>;
  readonly data: TrainingSet;
  readonly calibration: CalibrationSettings;
  readonly hooks: RunHooks;
}

/** A mask and its mean loss on the calibration set. */
export interface MaskLoss {
  readonly kept: readonly number[];
  readonly loss: number;
}

export interface Choice {
  /** Ascending. */
  readonly kept: readonly number[];
  /** How much each block matters [depth]: in each group the highest stay. */
  readonly scores?: readonly number[];
  /** Losses that were measured, in the order of the method. */
  readonly losses?: readonly MaskLoss[];
}

/** A pruner that reads only numbers of blocks. */
export interface FixedPruner {
  readonly needs: "nothing";
  /** One line for the help. */
  readonly summary: string;
  choose(context: PrunerContext): Choice;
}

/** A pruner that runs the model. */
export interface MeasuringPruner {
  readonly needs: "calibration";
  readonly summary: string;
  /** Its work, in forward passes of the whole calibration set; at most, where it depends on what is found. */
  passes(context: PrunerContext): number;
  /** @throws the reason of the signal if it is aborted. */
  choose(context: CalibratedContext): Promise<Choice>;
}

export type Pruner = FixedPruner | MeasuringPruner;
