/** The calibration losses of many random masks, and of the masks that methods picked, on the same examples. */
import {
  candidateLosses,
  inMiddle,
  type LossOf,
  type MaskLoss,
  parseGroups,
  pick,
  randomMask,
  withLosses,
} from "tinyfusion";
import { meanOf } from "../statistics.ts";
import { type StudyContext, secondsSince, type Trial, trialFile } from "../trials/trial.ts";
import { type BenchmarkModel, openBenchmark } from "./benchmark.ts";
import type { Budget } from "./budget.ts";
import { HALF, type MaskTrial } from "./masks.ts";

export interface RandomMasks {
  /** The loss of mask i of the seed; null where it was not finite. */
  readonly losses: readonly (number | null)[];
  /** The masks of smallest, middle and largest loss; of an even number the lower of the two in the middle. */
  readonly picks: { readonly [K in Place]: { readonly kept: readonly number[]; readonly loss: number } };
  readonly seconds: number;
}

export type Place = "min" | "median" | "max";

/** The seed that they are drawn with. */
const MASKS_SEED = 0;

const halfOf = ({ model: { family, config } }: BenchmarkModel) => parseGroups(HALF, family.stacks(config));

/** Random masks of one seed with their losses: none of them recovered. */
export function randomMasks(study: string, benchmark: BenchmarkModel, budget: Budget): Trial<RandomMasks> {
  const [variant, seed] = ["random-masks", MASKS_SEED];
  const { masks, calibration } = budget;
  return {
    file: trialFile(study, variant, seed),
    study,
    variant,
    seed,
    benchmark: benchmark.name,
    settings: { groups: HALF, masks, calibration, seed, subject: benchmark.settings },
    needs: benchmark.needs,
    work: { passes: masks },
    async compute(context) {
      const started = performance.now();
      const groups = halfOf(benchmark);
      const found = await withLossOf(context, benchmark, calibration, (lossOf) =>
        candidateLosses({ groups, settings: { seed, candidates: masks } }, lossOf),
      );
      const finite = found.filter(({ loss }) => Number.isFinite(loss)).length;
      const picks = {
        min: pick(found, () => 0),
        median: pick(found, () => Math.max(0, inMiddle(finite))),
        max: pick(found, () => Math.max(0, finite - 1)),
      };
      const losses = found.map(({ loss }) => (Number.isFinite(loss) ? loss : null));
      return { losses, picks, seconds: secondsSince(started) };
    },
  };
}

/** The random masks with their losses again, in the order in which they were drawn: a trial stores losses only. */
export function drawnMasks({ losses }: RandomMasks, benchmark: BenchmarkModel): MaskLoss[] {
  const groups = halfOf(benchmark);
  return losses.map((loss, index) => ({ kept: randomMask(groups, MASKS_SEED, index), loss: loss ?? Number.NaN }));
}

/** The losses of named masks on the examples of the random ones. */
export type PickedLosses = Readonly<Record<string, number>>;

/** Of the masks that methods chose with seed 0. */
export function pickedLosses(
  study: string,
  benchmark: BenchmarkModel,
  budget: Budget,
  picks: readonly (readonly [name: string, mask: MaskTrial])[],
): Trial<PickedLosses> {
  const [variant, seed] = ["picked-masks", 0];
  const { calibration } = budget;
  return {
    file: trialFile(study, variant, seed),
    study,
    variant,
    seed,
    benchmark: benchmark.name,
    settings: { picks: picks.map(([name]) => name), calibration, seed, subject: benchmark.settings },
    needs: [...benchmark.needs, ...picks.map(([, mask]) => mask)],
    work: { passes: picks.length },
    async compute(context) {
      return withLossOf(context, benchmark, calibration, async (lossOf) => {
        const found: Record<string, number> = {};
        for (const [name, mask] of picks) {
          const loss = await lossOf(context.result(mask).kept);
          if (Number.isFinite(loss)) found[name] = loss;
        }
        return found;
      });
    },
  };
}

/** Losses on the examples that all masks share, by one session. */
async function withLossOf<T>(
  context: StudyContext,
  benchmark: BenchmarkModel,
  examples: number,
  use: (lossOf: LossOf) => Promise<T>,
): Promise<T> {
  const { engine, signal } = context;
  const { teacher, data } = await openBenchmark(context, benchmark);
  const { model, tensors: weights, process } = teacher;
  const calibration = { seed: 0, examples, process };
  return withLosses({ engine, model, data, weights, calibration, hooks: { signal } }, use);
}

export interface DecisiveBlock {
  readonly block: number;
  /** The masks of lower mean loss: those that keep the block, or those that drop it. */
  readonly better: readonly MaskLoss[];
  readonly worse: readonly MaskLoss[];
  /** Whether the better half are those that keep it. */
  readonly keeps: boolean;
  /** Whether every loss of the better half is below every one of the other. */
  readonly divides: boolean;
}

/**
 * The block between whose keepers and droppers the mean losses differ most; of equal ones the first. Losses that are not
 * finite are left out; undefined if no block is kept by some of the masks and dropped by others.
 */
export function decisiveBlock(masks: readonly MaskLoss[]): DecisiveBlock | undefined {
  const finite = masks.filter(({ loss }) => Number.isFinite(loss));
  const blocks = [...new Set(finite.flatMap(({ kept }) => kept))].sort((a, b) => a - b);
  let widest = 0;
  let found: DecisiveBlock | undefined;
  for (const block of blocks) {
    const keepers = finite.filter(({ kept }) => kept.includes(block));
    const droppers = finite.filter(({ kept }) => !kept.includes(block));
    if (droppers.length === 0) continue;
    const difference = meanLoss(droppers) - meanLoss(keepers);
    if (Math.abs(difference) <= widest) continue;
    widest = Math.abs(difference);
    const keeps = difference > 0;
    const [better, worse] = keeps ? [keepers, droppers] : [droppers, keepers];
    const divides = largest(better) < smallest(worse);
    found = { block, better, worse, keeps, divides };
  }
  return found;
}

/** Of masks that are not empty. */
export const smallest = (masks: readonly MaskLoss[]): number => Math.min(...masks.map(({ loss }) => loss));
export const largest = (masks: readonly MaskLoss[]): number => Math.max(...masks.map(({ loss }) => loss));

const meanLoss = (masks: readonly MaskLoss[]): number => meanOf(masks.map(({ loss }) => loss)).mean;
