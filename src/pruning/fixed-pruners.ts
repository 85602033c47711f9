/** Pruners that look at nothing but numbers of blocks: `indices`, `uniform`, `oracle` and `random`. */
import { InputError } from "../array/input-error.ts";
import { permutation } from "../array/random.ts";
import { type Group, isInStack, stackRanges } from "./groups.ts";
import type { FixedPruner } from "./pruner.ts";

/** Keeps the named blocks; there are no groups and no budget. */
export const indices: FixedPruner = {
  needs: "nothing",
  summary: "the blocks that `blocks` names",
  choose({ settings: { kept } }) {
    if (!kept) throw new InputError("`method` indices: expected the blocks to keep, found none; give `blocks`");
    return { kept };
  },
};

/** Block ⌊i · M / N⌋ of each group of M, for i = 0 … N − 1: every other block from the first, at half depth. */
export const uniform: FixedPruner = {
  needs: "nothing",
  summary: "evenly spaced blocks",
  choose: ({ groups }) => ({ kept: groups.flatMap((group) => spaced(group, group.keep)) }),
};

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
  summary: "every other block, mirrored at the middle (BK-SDM)",
  choose: ({ model: { family, config }, groups }) => ({
    kept: stackRanges(family.stacks(config)).flatMap((stack) => {
      const middle = (stack.start + stack.end) / 2;
      const own = groups.filter(({ start }) => isInStack(stack, start));
      return own.flatMap((group) => spaced(group, fromFront(group, middle)));
    }),
  }),
};

/** How many of a group's kept blocks are counted from its front. */
function fromFront({ start, size, keep }: Group, middle: number): number {
  if (start + size <= middle) return keep;
  return start >= middle ? 0 : Math.ceil(keep / 2);
}

/** `front` evenly spaced blocks from the front of the group, the others from its back, ascending. */
function spaced({ start, size, keep }: Group, front: number): number[] {
  const step = (i: number): number => Math.floor((i * size) / keep);
  return Array.from({ length: keep }, (_, i) => start + (i < front ? step(i) : size - 1 - step(keep - 1 - i)));
}

/** Mask number `index` of a seed: in each group every choice is equally likely. */
export function randomMask(groups: readonly Group[], seed: number, index: number): number[] {
  return groups.flatMap(({ start, size, keep }, group) => {
    const order = permutation({ seed, purpose: "random mask", step: index, index: group }, size);
    return Array.from(order.subarray(0, keep), (position) => start + position).sort((a, b) => a - b);
  });
}

/** The first random mask of the seed. */
export const random: FixedPruner = {
  needs: "nothing",
  summary: "random blocks, by `seed`",
  choose: ({ groups, settings: { seed } }) => ({ kept: randomMask(groups, seed, 0) }),
};
