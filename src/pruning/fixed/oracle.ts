/** `oracle`: BK-SDM's rule of thumb on a row of blocks. */
import type { Group } from "../groups.ts";
import { stackRanges } from "../groups.ts";
import type { FixedPruner } from "../scored/pruner.ts";

/**
 * BK-SDM (Kim et al. 2023, arXiv 2305.15798) lets the second of two like blocks go on the way down a U-Net, and on the
 * way up keeps the one that ends its stage. TinyFusion's indices for a row of 28 blocks carry that over: 0, 2, …, 12,
 * then 15, …, 27: of the first half every other block from the front, of the second half every other one from the back.
 * For D blocks of which K stay: block ⌊i · D / K⌋ for the first ⌈K / 2⌉, its mirror image D − 1 − ⌊i · D / K⌋ for the
 * others. Under N:M groups each group in the first half of its stack keeps evenly spaced blocks from its front, each one
 * in the second half from its back, and one that lies across the middle follows the rule of a whole row.
 */
export const oracle: FixedPruner = {
  needs: "nothing",
  summary: "BK-SDM's rule: every other block, from the front in the first half, from the back in the second",
  choose: ({ model: { family, config }, groups }) => ({
    kept: stackRanges(family.stacks(config)).flatMap((stack) => {
      const middle = (stack.start + stack.end) / 2;
      const own = groups.filter(({ start }) => start >= stack.start && start < stack.end);
      return own.flatMap((group) => keptOf(group, fromFront(group, middle)));
    }),
  }),
};

/** How many of a group's kept blocks are counted from its front. */
function fromFront({ start, size, keep }: Group, middle: number): number {
  if (start + size <= middle) return keep;
  return start >= middle ? 0 : Math.ceil(keep / 2);
}

/** `front` evenly spaced blocks from the front of the group, the others from its back, ascending. */
function keptOf({ start, size, keep }: Group, front: number): number[] {
  const step = (i: number): number => Math.floor((i * size) / keep);
  return Array.from({ length: keep }, (_, i) => start + (i < front ? step(i) : size - 1 - step(keep - 1 - i)));
}
