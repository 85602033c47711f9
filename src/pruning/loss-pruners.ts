/** Pruners by calibration loss: `sensitivity`, `loss-greedy`, `random-median` and `min-loss`. */
import { InputError } from "../array/input-error.ts";
import { blocksOf, keepHighest, keptCount } from "./budget.ts";
import { compileCalibrationLoss } from "./calibration.ts";
import { randomMask } from "./fixed-pruners.ts";
import type { Group } from "./groups.ts";
import type { CalibratedContext, Choice, MaskLoss, MeasuringPruner, PrunerSettings } from "./pruner.ts";

/** The mean loss of a model that keeps these blocks. */
export type LossOf = (kept: readonly number[]) => Promise<number>;

/** Compiles the loss of a context's calibration set, hands it to `use`, and frees it. */
export async function withLosses<T>(
  context: Pick<CalibratedContext, "engine" | "model" | "data" | "calibration" | "hooks" | "weights">,
  use: (lossOf: LossOf) => Promise<T>,
): Promise<T> {
  const { engine, model, data, calibration, hooks, weights } = context;
  const losses = await compileCalibrationLoss(engine, model, data, { ...calibration, ...hooks }, weights);
  try {
    return await use((kept) => losses.lossOf(kept));
  } finally {
    await losses.release();
  }
}

/** For comparisons: a loss that is not a number is the worst there is. */
const comparable = (loss: number): number => (Number.isNaN(loss) ? Number.POSITIVE_INFINITY : loss);

/** @throws InputError if even the chosen mask has no finite loss. */
function requireFinite(mask: MaskLoss): MaskLoss {
  if (Number.isFinite(mask.loss)) return mask;
  throw new InputError(
    `keeping blocks ${mask.kept.join(",")}: the loss is ${mask.loss}, expected a finite number; look for NaN in the weights with tinyfusion inspect --check`,
  );
}

/**
 * Sensitivity analysis (Han et al. 2015, arXiv 1506.02626, with a block in place of a layer's connections; "Sensitivity"
 * in TinyFusion's table 1): s_i = L(all blocks but i) − L(all blocks). The blocks of the smallest rise go, all at once.
 */
export const sensitivity: MeasuringPruner = {
  needs: "calibration",
  summary: "rise of the loss when one block is skipped",
  passes: ({ model }) => model.config.depth + 1,
  choose: (context) =>
    withLosses(context, async (lossOf) => {
      const { scores, whole } = await skipScores(context.model.config.depth, lossOf);
      return { kept: keepHighest(scores, context.groups), scores, losses: [whole] };
    }),
};

/** The rise of the loss for every block [depth], and the loss with all of them. */
export async function skipScores(depth: number, lossOf: LossOf): Promise<{ scores: number[]; whole: MaskLoss }> {
  const all = Array.from({ length: depth }, (_, block) => block);
  const whole = { kept: all, loss: await lossOf(all) };
  const scores: number[] = [];
  for (const skipped of all) scores.push((await lossOf(all.filter((block) => block !== skipped))) - whole.loss);
  return { scores, whole };
}

/**
 * Backward elimination by the calibration loss, as SLEB does it for language models (Song et al. 2024, arXiv
 * 2402.09025): remove argmin_i L(kept − {i}), measure everything anew, repeat until the budget is met.
 */
export const lossGreedy: MeasuringPruner = {
  needs: "calibration",
  summary: "greedy removal of blocks by the loss without them",
  passes: ({ groups }) => mostPasses(groups),
  choose: (context) => withLosses(context, (lossOf) => removeGreedily(context.groups, lossOf)),
};

/** The kept blocks, and the mask with its loss after each removal; of equal losses the first block goes. */
export async function removeGreedily(groups: readonly Group[], lossOf: LossOf): Promise<Choice> {
  let kept = groups.flatMap(blocksOf);
  const losses: MaskLoss[] = [];
  while (kept.length > keptCount(groups)) {
    let best: MaskLoss | undefined;
    for (const block of removable(kept, groups)) {
      const rest = kept.filter((other) => other !== block);
      const loss = await lossOf(rest);
      if (!best || comparable(loss) < comparable(best.loss)) best = { kept: rest, loss };
    }
    losses.push(requireFinite(best!));
    kept = [...best!.kept];
  }
  return { kept, losses };
}

/** The blocks of groups that still have more than they keep. */
function removable(kept: readonly number[], groups: readonly Group[]): number[] {
  return groups.flatMap((group) => {
    const own = blocksOf(group).filter((block) => kept.includes(block));
    return own.length > group.keep ? own : [];
  });
}

/** The most losses there can be: groups stay open longest if the fullest one always loses a block. */
function mostPasses(groups: readonly Group[]): number {
  const open = groups.map(({ size, keep }) => ({ size, excess: size - keep }));
  let passes = 0;
  for (;;) {
    const left = open.filter(({ excess }) => excess > 0);
    if (left.length === 0) return passes;
    for (const { size } of left) passes += size;
    const fullest = left.reduce((a, b) => (b.excess > a.excess ? b : a));
    fullest.size--;
    fullest.excess--;
  }
}

/**
 * TinyFusion (arXiv 2412.01199) draws random masks, sorts them by calibration loss and fine-tunes some: the one in the
 * middle came close to a learned mask (FID 6.45). Of an even number the lower of the two in the middle is taken.
 */
export const randomMedian: MeasuringPruner = picking("the random mask of median loss, of `candidates`", inMiddle);

/** The smallest loss of all candidates: in that comparison the one that recovered worst (FID 20.69). */
export const minLoss: MeasuringPruner = picking("the random mask of smallest loss, of `candidates`", () => 0);

/** The index in the middle of a sorted list, the lower one of two. */
export function inMiddle(count: number): number {
  return Math.floor((count - 1) / 2);
}

function picking(summary: string, rank: (count: number) => number): MeasuringPruner {
  return {
    needs: "calibration",
    summary,
    passes: ({ settings }) => settings.candidates,
    choose: (context) =>
      withLosses(context, async (lossOf) => {
        const losses = await candidateLosses(context, lossOf);
        return { kept: pick(losses, rank).kept, losses };
      }),
  };
}

/** The random masks of the seed with their losses, in the order of drawing; a mask that is drawn again is not run again. */
export async function candidateLosses(
  context: { readonly groups: readonly Group[]; readonly settings: Pick<PrunerSettings, "seed" | "candidates"> },
  lossOf: LossOf,
): Promise<MaskLoss[]> {
  const { seed, candidates } = context.settings;
  const known = new Map<string, number>();
  const losses: MaskLoss[] = [];
  for (let i = 0; i < candidates; i++) {
    const kept = randomMask(context.groups, seed, i);
    const loss = known.get(kept.join()) ?? (await lossOf(kept));
    known.set(kept.join(), loss);
    losses.push({ kept, loss });
  }
  return losses;
}

/**
 * The mask at a rank of the list sorted by loss; of equal losses the first drawn comes first.
 * @throws InputError if its loss is not finite.
 */
export function pick(losses: readonly MaskLoss[], rank: (count: number) => number): MaskLoss {
  const sorted = [...losses].sort((a, b) => {
    const [one, other] = [comparable(a.loss), comparable(b.loss)];
    return one === other ? 0 : one - other;
  });
  return requireFinite(sorted[rank(losses.length)]!);
}
