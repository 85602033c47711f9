/** N:M groups: which blocks are decided together, and every way to keep N of M. */
import { InputError } from "../array/input-error.ts";
import { sumOf } from "../array/reduce.ts";

/** How many blocks to keep of how many. */
interface GroupRatio {
  readonly size: number;
  readonly keep: number;
}

/** Blocks start … start + size − 1, of which `keep` stay. */
export interface Group extends GroupRatio {
  readonly start: number;
}

/** How many blocks each stack of a model has, in forward order; a number is a single stack. */
export type Stacks = number | readonly number[];

/** A stack's blocks in forward numbers: start … end − 1. */
export interface StackRange {
  readonly start: number;
  readonly end: number;
}

/** Whether a block is in a stack. */
export const isInStack = ({ start, end }: StackRange, block: number): boolean => block >= start && block < end;

/** Where each stack begins and ends. */
export function stackRanges(stacks: Stacks): StackRange[] {
  let end = 0;
  return [stacks].flat().map((depth) => {
    end += depth;
    return { start: end - depth, end };
  });
}

const MAX_PATTERNS = 65536;

const wrong = (text: string, why: string): InputError => new InputError(`\`groups\` ${text}: ${why}`);

/**
 * Groups for the blocks of all stacks, written `2:4` (repeated in each stack), or mixed `2:4,2:4,3:4` (each once,
 * together all blocks). No group reaches over the end of a stack.
 * @throws InputError saying what does not fit.
 */
export function parseGroups(text: string, stacks: Stacks): Group[] {
  const ratios = text.split(",").map((part) => {
    const match = /^\s*(\d+):(\d+)\s*$/.exec(part);
    if (!match) throw wrong(text, `expected N:M, such as 2:4 for 2 of every 4 blocks, found "${part}"`);
    return { keep: Number(match[1]), size: Number(match[2]) };
  });
  for (const { keep, size } of ratios) {
    if (size >= 1 && keep >= 1 && keep <= size) continue;
    throw wrong(text, `expected to keep 1 to M in N:M, found ${keep}:${size}`);
  }
  const ranges = stackRanges(stacks);
  checkOptions(text, ratios, ranges);
  return ratios.length === 1 ? repeated(text, ratios[0]!, ranges) : placedOnce(text, ratios, ranges);
}

/** One ratio over and over, from the start of each stack to its end. */
function repeated(text: string, { keep, size }: GroupRatio, ranges: readonly StackRange[]): Group[] {
  return ranges.flatMap(({ start, end }, i) => {
    const depth = end - start;
    if (depth % size !== 0) {
      const blocks = ranges.length === 1 ? `the model's ${depth} blocks` : `the ${depth} blocks of stack ${i + 1}`;
      throw wrong(text, `${blocks} do not divide into groups of ${size}; ${suggestion(depthsOf(ranges))}`);
    }
    return Array.from({ length: depth / size }, (_, k) => ({ start: start + k * size, size, keep }));
  });
}

/** Each ratio once, in order. */
function placedOnce(text: string, ratios: readonly GroupRatio[], ranges: readonly StackRange[]): Group[] {
  const [covered, depth] = [sumOf(ratios.map(({ size }) => size)), ranges.at(-1)?.end ?? 0];
  if (covered !== depth) {
    const depths = depthsOf(ranges);
    const stacks = depths.length === 1 ? "" : ` in stacks of ${depths.join(" and ")}`;
    throw wrong(text, `covers ${covered} blocks, the model has ${depth}${stacks}; these fit: ${exampleFor(depths)}`);
  }
  let end = 0;
  return ratios.map(({ keep, size }) => {
    end += size;
    const start = end - size;
    const over = ranges.findIndex((stack) => isInside(stack.end, start, end));
    if (over >= 0) {
      const { start: first, end: last } = ranges[over]!;
      throw wrong(
        text,
        `${keep}:${size} on blocks ${start} to ${end - 1} reaches over the end of stack ${over + 1}, ` +
          `which has ${last - first} blocks (${first} to ${last - 1}); these fit: ${cutAtEnds(ratios, ranges)}`,
      );
    }
    return { start, size, keep };
  });
}

const isInside = (place: number, start: number, end: number): boolean => place > start && place < end;
const depthsOf = (ranges: readonly StackRange[]): number[] => ranges.map(({ start, end }) => end - start);

/** The ratios, each cut where a stack ends; every part keeps about the same fraction. */
function cutAtEnds(ratios: readonly GroupRatio[], ranges: readonly StackRange[]): string {
  let end = 0;
  const cut = ratios.flatMap(({ keep, size }) => {
    const start = end;
    end += size;
    const cuts = [start, ...ranges.map((stack) => stack.end).filter((place) => isInside(place, start, end)), end];
    return cuts.slice(1).map((to, i) => ({
      size: to - cuts[i]!,
      keep: Math.max(1, Math.round((keep * (to - cuts[i]!)) / size)),
    }));
  });
  return printGroups(cut.flatMap(split));
}

function checkOptions(text: string, ratios: readonly GroupRatio[], ranges: readonly StackRange[]): void {
  for (const { keep, size } of ratios) {
    const count = patternCount(keep, size);
    if (count <= MAX_PATTERNS) continue;
    throw wrong(
      text,
      `there are ${count} ways to keep ${keep} of ${size} blocks, more than ${MAX_PATTERNS}; split the group, for example into ${exampleLike(ratios, ranges)}`,
    );
  }
}

/** Groups that fit, made of these ratios if they cover the blocks. */
function exampleLike(ratios: readonly GroupRatio[], ranges: readonly StackRange[]): string {
  const [depths, [first]] = [depthsOf(ranges), ratios];
  const tiles = depths.every((depth) => depth % first!.size === 0);
  const count = ratios.length > 1 ? 1 : tiles ? sumOf(depths) / first!.size : 0;
  const whole = Array.from({ length: count }, () => ratios).flat();
  return sumOf(whole.map(({ size }) => size)) === sumOf(depths) ? cutAtEnds(whole, ranges) : exampleFor(depths);
}

/** A ratio with too many patterns as several that have few enough, cut in half as often as it takes. */
function split({ keep, size }: GroupRatio): GroupRatio[] {
  if (patternCount(keep, size) <= MAX_PATTERNS) return [{ keep, size }];
  const [half, rest] = [Math.ceil(size / 2), Math.floor(size / 2)];
  const kept = Math.ceil(keep / 2);
  return [...split({ keep: kept, size: half }), ...split({ keep: Math.max(1, keep - kept), size: rest })];
}

function suggestion(depths: readonly number[]): string {
  const sizes = [2, 3, 4, 6, 7, 8, 14].filter((size) => depths.every((depth) => depth % size === 0));
  if (sizes.length > 0) return `sizes that do: ${sizes.join(", ")}`;
  return `use mixed groups such as ${depths.length === 1 ? "2:4,3:5" : exampleFor(depths)}`;
}

/** Groups that fit: half of each stack. */
const exampleFor = (depths: readonly number[]): string =>
  printGroups(depths.filter((depth) => depth > 0).flatMap((size) => split({ keep: Math.ceil(size / 2), size })));

/** The binomial coefficient; infinite where it is beyond all numbers. */
function patternCount(keep: number, size: number): number {
  const chosen = Math.min(keep, size - keep);
  let count = 1;
  for (let i = 1; i <= chosen && count < Infinity; i++) count = (count * (size - chosen + i)) / i;
  return Math.round(count);
}

/** All ways to keep `keep` of `size`, as lists of positions, in the order of Python's itertools.combinations. */
export function keepPatterns(keep: number, size: number): number[][] {
  if (keep === 0) return [[]];
  const patterns: number[][] = [];
  for (let first = 0; first <= size - keep; first++) {
    for (const rest of keepPatterns(keep - 1, size - first - 1)) {
      patterns.push([first, ...rest.map((position) => position + first + 1)]);
    }
  }
  return patterns;
}

/** The groups as written: `1:2`, or `2:4,3:4` if they differ. */
export function printGroups(groups: readonly GroupRatio[]): string {
  const texts = groups.map(({ keep, size }) => `${keep}:${size}`);
  return new Set(texts).size === 1 ? texts[0]! : texts.join(",");
}
