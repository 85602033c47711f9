/** `random`: blocks drawn by lot. */
import { permutation } from "../../array/random.ts";
import type { Group } from "../groups.ts";
import type { FixedPruner } from "../scored/pruner.ts";

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
  summary: "blocks drawn by lot, with --seed",
  choose: ({ groups, settings: { seed } }) => ({ kept: randomMask(groups, seed, 0) }),
};
