/** How many blocks stay, and which of them when each has a score. */
import { InputError } from "../array/input-error.ts";
import { sumOf } from "../array/reduce.ts";
import { type Group, isInStack, type Stacks, stackRanges } from "./groups.ts";

/**
 * A plain budget as one group for each stack: `14` for all stacks together, shared out by their depths, or `8,8`, one
 * number for each.
 * @throws InputError for numbers that do not fit the stacks.
 */
export function parseBudget(text: string, stacks: Stacks): Group[] {
  const ranges = stackRanges(stacks);
  const depths = ranges.map(({ start, end }) => end - start);
  const counts = text.split(",").map((part) => (/^\s*\d+\s*$/.test(part) ? Number(part) : Number.NaN));
  const wrong = (expected: string) => new InputError(`\`keep\` ${text}: expected ${expected}; the model has ${blocks}`);
  const blocks = `${depths.join(" + ")} blocks`;
  if (counts.length !== 1 && counts.length !== depths.length) {
    throw wrong(`one number, or one for each of ${depths.length} stacks`);
  }
  const isTotal = counts.length === 1;
  const [fewest, most] = isTotal ? [depths.length, sumOf(depths)] : [1, Number.POSITIVE_INFINITY];
  counts.forEach((count, i) => {
    const limit = isTotal ? most : depths[i]!;
    if (!(count >= fewest && count <= limit)) {
      throw wrong(`a number from ${fewest} to ${limit}${isTotal ? "" : ` for stack ${i + 1}`}`);
    }
  });
  const keeps = isTotal ? sharedOut(counts[0]!, depths) : counts;
  return ranges.map(({ start, end }, i) => ({ start, size: end - start, keep: keeps[i]! }));
}

/** `total` in proportion to the depths, at least 1 each, at most the depth; the remainder goes to the first stacks. */
function sharedOut(total: number, depths: readonly number[]): number[] {
  const depth = sumOf(depths);
  const keeps = depths.map((size) => Math.max(1, Math.floor((total * size) / depth)));
  for (let left = total - sumOf(keeps); left !== 0; left -= Math.sign(left)) {
    const isMore = left > 0;
    const at = keeps.findIndex((keep, i) =>
      isMore ? keep < depths[i]! && keep * depth < total * depths[i]! : keep === Math.max(...keeps),
    );
    keeps[at]! += isMore ? 1 : -1;
  }
  return keeps;
}

/** How many blocks the groups keep. */
export const keptCount = (groups: readonly Group[]): number => sumOf(groups.map(({ keep }) => keep));

/** How many blocks of each stack the groups keep. */
export const keptInStacks = (groups: readonly Group[], stacks: Stacks): number[] =>
  stackRanges(stacks).map((stack) => keptCount(groups.filter(({ start }) => isInStack(stack, start))));

/** The blocks of a group, ascending. */
export const blocksOf = ({ start, size }: Group): number[] => Array.from({ length: size }, (_, i) => start + i);

/** The last block of each stack. */
export const lastBlocks = (stacks: Stacks): number[] => stackRanges(stacks).map(({ end }) => end - 1);

/**
 * In each group the blocks with the highest scores [depth], of equal ones the first; `always` stay whatever their score.
 * @throws InputError for a score that is not a number.
 */
export function keepHighest(
  scores: readonly number[],
  groups: readonly Group[],
  always: readonly number[] = [],
): number[] {
  const wrong = scores.findIndex((score) => !Number.isFinite(score));
  if (wrong >= 0) {
    throw new InputError(
      `the score of block ${wrong} is ${scores[wrong]}, expected a finite number; look for NaN in the weights with tinyfusion inspect --check`,
    );
  }
  const isFixed = (block: number): number => (always.includes(block) ? 1 : 0);
  return groups.flatMap((group) =>
    blocksOf(group)
      .sort((a, b) => isFixed(b) - isFixed(a) || scores[b]! - scores[a]! || a - b)
      .slice(0, group.keep)
      .sort((a, b) => a - b),
  );
}
