/** N:M groups: which blocks are decided together, and every way to keep N of M. */
import { InputError } from "../array/input-error.ts";

/** Blocks start … start + size − 1, of which `keep` stay. */
export interface Group {
  readonly start: number;
  readonly size: number;
  readonly keep: number;
}

const MAX_OPTIONS = 65536;

/**
 * Groups for `depth` blocks, written `2:4` (repeated), or mixed `2:4,2:4,3:4` (each once, together all blocks).
 * @throws InputError saying what does not fit.
 */
export function parseGroups(text: string, depth: number): Group[] {
  const patterns = text.split(",").map((part) => {
    const match = /^\s*(\d+):(\d+)\s*$/.exec(part);
    if (!match) throw new InputError(`groups ${text}: "${part}" is not of the form N:M, such as 2:4`);
    return { keep: Number(match[1]), size: Number(match[2]) };
  });
  for (const { keep, size } of patterns) checkPattern(text, keep, size);
  const sizes = patterns.reduce((total, { size }) => total + size, 0);
  if (patterns.length === 1 && depth % sizes !== 0) {
    throw new InputError(`groups ${text}: ${depth} blocks do not divide into groups of ${sizes}; ${suggestion(depth)}`);
  }
  if (patterns.length > 1 && sizes !== depth) {
    throw new InputError(`groups ${text} cover ${sizes} blocks, the model has ${depth}`);
  }
  const repeated = patterns.length === 1 ? new Array(depth / sizes).fill(patterns[0]!) : patterns;
  let start = 0;
  return repeated.map(({ keep, size }: { keep: number; size: number }) => {
    start += size;
    return { start: start - size, size, keep };
  });
}

function checkPattern(text: string, keep: number, size: number): void {
  if (size < 1 || keep < 1 || keep > size) {
    throw new InputError(`groups ${text}: ${keep}:${size} must keep at least 1 and at most ${size} of ${size} blocks`);
  }
  const count = optionCount(keep, size);
  if (count > MAX_OPTIONS) {
    throw new InputError(
      `groups ${text}: ${keep}:${size} has ${count} options, more than ${MAX_OPTIONS}; ` +
        `split it, for example into ${Math.ceil(keep / 2)}:${Math.ceil(size / 2)}`,
    );
  }
}

function suggestion(depth: number): string {
  const sizes = [2, 3, 4, 6, 7, 8, 14].filter((size) => depth % size === 0);
  return sizes.length > 0 ? `sizes that do: ${sizes.join(", ")}` : "use mixed groups such as 2:4,3:5";
}

function optionCount(keep: number, size: number): number {
  let count = 1;
  for (let i = 1; i <= keep; i++) count = (count * (size - keep + i)) / i;
  return Math.round(count);
}

/** All ways to keep `keep` of `size`, as lists of positions, in the order of Python's itertools.combinations. */
export function keepOptions(keep: number, size: number): number[][] {
  if (keep === 0) return [[]];
  const options: number[][] = [];
  for (let first = 0; first <= size - keep; first++) {
    for (const rest of keepOptions(keep - 1, size - first - 1)) {
      options.push([first, ...rest.map((position) => position + first + 1)]);
    }
  }
  return options;
}

/** The groups as written: `1:2`, or `2:4,3:4` if they differ. */
export function printGroups(groups: readonly Group[]): string {
  const texts = groups.map(({ keep, size }) => `${keep}:${size}`);
  return new Set(texts).size === 1 ? texts[0]! : texts.join(",");
}
