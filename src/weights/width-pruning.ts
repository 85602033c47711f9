/** What a model file says of a pruning of its widths: which heads and MLP channels of each block were removed. */

/** Kinds of units that can be removed from every block: heads of attention, channels between the layers of the MLP. */
export const channelGroupKinds = ["heads", "channels"] as const;

export type ChannelGroupKind = (typeof channelGroupKinds)[number];

/** Units of one kind, by block. */
export interface RemovedGroups {
  /** How many each block of the parent has. */
  readonly of: number;
  /** For each block the removed ones by their numbers in the parent, as `0,4-7`; equally many in all blocks. */
  readonly removed: readonly string[];
}

export interface WidthPruning extends Readonly<Record<ChannelGroupKind, RemovedGroups>> {
  /** The rule that chose them. */
  readonly criterion: string;
}

/** Ascending numbers as text: `0,4-7`; none as an empty text. */
export function rangesText(numbers: readonly number[]): string {
  const runs: [first: number, last: number][] = [];
  for (const number of numbers) {
    const run = runs.at(-1);
    if (run?.[1] === number - 1) run[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

/** The numbers of such a text, each below `end`; undefined for any other text, or numbers that do not ascend. */
export function numbersIn(text: string, end: number): number[] | undefined {
  const numbers: number[] = [];
  for (const part of text === "" ? [] : text.split(",")) {
    const [, first, last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part) ?? [];
    if (first === undefined || Number(last) < Number(first) || Number(last) >= end) return undefined;
    if (Number(first) <= (numbers.at(-1) ?? -1)) return undefined;
    for (let number = Number(first); number <= Number(last); number++) numbers.push(number);
  }
  return numbers;
}

/** How many units each block keeps; undefined if the blocks are not told alike. */
export function keptGroupCount({ of, removed }: RemovedGroups): number | undefined {
  const counts = new Set(removed.map((text) => numbersIn(text, of)?.length));
  const [count] = counts;
  return counts.size === 1 && count !== undefined && count < of ? of - count : undefined;
}

/** No model is wider: a hostile number would be counted through. */
const WIDEST = 1_000_000;

/** Whether this describes what was removed from each of `depth` blocks. */
export function isWidthPruning(found: unknown, depth: number): found is WidthPruning {
  const entry = found as Partial<WidthPruning> | null;
  const isTold = (kind: ChannelGroupKind): boolean => {
    const { of, removed } = entry?.[kind] ?? {};
    if (!Number.isSafeInteger(of) || of! > WIDEST || !Array.isArray(removed) || removed.length !== depth) return false;
    return removed.every((text) => typeof text === "string") && keptGroupCount({ of: of!, removed }) !== undefined;
  };
  return typeof entry?.criterion === "string" && channelGroupKinds.every(isTold);
}
