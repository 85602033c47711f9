/** `loss-greedy`: the block that is missed least goes, again and again. */
import type { Group } from "../groups.ts";
import { blocksOf, keptCount } from "./budget.ts";
import type { Choice, MaskLoss, MeasuringPruner } from "./pruner.ts";
import { comparable, type LossOf, requireFinite, withLosses } from "./with-losses.ts";

/**
 * Backward elimination by the calibration loss, as SLEB does it for language models (Song et al. 2024, arXiv
 * 2402.09025): remove argmin_i L(kept − {i}), measure everything anew, go on until the budget is met.
 */
export const lossGreedy: MeasuringPruner = {
  needs: "calibration",
  summary: "removes the block whose loss is least missed, again and again",
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
  const sizes = groups.map(({ size }) => size);
  const isOpen = (i: number): boolean => sizes[i]! > groups[i]!.keep;
  let passes = 0;
  for (;;) {
    const open = sizes.map((_, i) => i).filter(isOpen);
    if (open.length === 0) return passes;
    passes += open.reduce((total, i) => total + sizes[i]!, 0);
    const fullest = open.reduce((a, b) => (sizes[b]! - groups[b]!.keep > sizes[a]! - groups[a]!.keep ? b : a));
    sizes[fullest]!--;
  }
}
