import { describe, expect, it } from "vitest";
import { presets } from "../../src/models/presets.ts";
import { modelOf } from "../../src/models/registry.ts";
import { keepPatterns, parseGroups, printGroups, stackRanges } from "../../src/pruning/groups.ts";

const kept = (text: string, stacks: number | readonly number[]): number =>
  parseGroups(text, stacks).reduce((total, { keep }) => total + keep, 0);

describe("groups", () => {
  it("repeats one pattern over the depth", () => {
    expect(parseGroups("2:4", 8)).toEqual([
      { start: 0, size: 4, keep: 2 },
      { start: 4, size: 4, keep: 2 },
    ]);
  });

  it("takes mixed patterns once each, as TinyDiT-D19 needs", () => {
    const groups = parseGroups("3:4,3:4,2:4,3:4,2:4,3:4,3:4", 28);
    expect(groups.reduce((total, { keep }) => total + keep, 0)).toBe(19);
    expect(groups.at(-1)).toEqual({ start: 24, size: 4, keep: 3 });
  });

  it.each([
    ["1:3", 28, /28 blocks do not divide into groups of 3; sizes that do: 2, 4, 7, 14/],
    ["1:3", 29, /29 blocks do not divide into groups of 3; use mixed groups such as 2:4,3:5/],
    ["2:4,1:2", 28, /covers 6 blocks, the model has 28; these fit: 7:14$/],
    ["3:2", 28, /expected to keep 1 to M in N:M, found 3:2/],
    ["0:2", 28, /expected to keep 1 to M in N:M, found 0:2/],
    ["1:0", 28, /expected to keep 1 to M in N:M, found 1:0/],
    ["half", 28, /`groups` half: expected N:M, such as 2:4 for 2 of every 4 blocks, found "half"/],
    [
      "500000000000000:999999999999999",
      28,
      /there are Infinity ways to keep .*, more than 65536; split the group, for example into 7:14$/,
    ],
    ["999999999999999:999999999999999", 28, /28 blocks do not divide into groups of 999999999999999/],
    ["14:28", 28, /40116600 ways to keep 14 of 28 blocks, more than 65536; split the group, for example into 7:14/],
  ])("refuses %s for %i blocks and says why", (text, depth, message) => {
    expect(() => parseGroups(text, depth)).toThrow(message);
  });

  it.each([
    ["20:40", 40],
    ["13:27", 27],
    ["26:54,1:2", 56],
    ["512:1024", 1024],
  ])("refuses %s for its patterns, naming groups of the same blocks that have few enough", (text, depth) => {
    expect(() => parseGroups(text, depth)).toThrow(
      /ways to keep .* of .* blocks, more than 65536; split the group, for example into/,
    );
    expect(parseGroups(exampleIn(text, depth), depth).reduce((total, { size }) => total + size, 0)).toBe(depth);
    expect(kept(exampleIn(text, depth), depth)).toBe(
      text.split(",").reduce((total, part) => total + Number(part.split(":")[0]), 0),
    );
  });

  it("lists the patterns in the order of itertools.combinations", () => {
    expect(keepPatterns(2, 4)).toEqual([
      [0, 1],
      [0, 2],
      [0, 3],
      [1, 2],
      [1, 3],
      [2, 3],
    ]);
    expect(keepPatterns(7, 14)).toHaveLength(3432);
  });

  it("prints what it parsed", () => {
    expect(printGroups(parseGroups("1:2", 6))).toBe("1:2");
    expect(printGroups(parseGroups("2:4,1:2", 6))).toBe("2:4,1:2");
  });
});

/** The groups that the refusal of `text` proposes. */
function exampleIn(text: string, stacks: number | readonly number[]): string {
  try {
    parseGroups(text, stacks);
  } catch (error) {
    const found = /(?:into|fit:|such as) ([\d:,]+)$/.exec((error as Error).message);
    if (found) return found[1]!;
    throw error;
  }
  throw new Error(`groups ${text} fit`);
}

describe("groups of several stacks", () => {
  it("tile each stack, as TinyMAR-D16 needs", () => {
    const { family, config } = modelOf(presets.get("MAR-L")!);
    const groups = parseGroups("1:2", family.stacks(config));
    expect(groups).toHaveLength(16);
    expect(groups[8]).toEqual({ start: 16, size: 2, keep: 1 });
    const pruned = family.keep(
      config,
      groups.map(({ start }) => start + 1),
    );
    expect(pruned).toEqual(presets.get("TinyMAR-D16"));
  });

  it("begin anew in each stack, where the end of one would cut a group of the whole", () => {
    expect(parseGroups("1:3", [3, 6]).map(({ start }) => start)).toEqual([0, 3, 6]);
    expect(parseGroups("1:2,2:3,1:1", [2, 4]).map(({ start }) => start)).toEqual([0, 2, 5]);
  });

  it("are none in a stack without blocks", () => {
    expect(parseGroups("1:2", [0, 4]).map(({ start }) => start)).toEqual([0, 2]);
    expect(parseGroups("1:2,2:2", [4, 0]).map(({ start }) => start)).toEqual([0, 2]);
    expect(parseGroups("1:2", [0, 0])).toEqual([]);
  });

  it.each([
    ["1:3", [16, 16], "the 16 blocks of stack 1 do not divide into groups of 3; sizes that do: 2, 4, 8"],
    ["1:4", [16, 18], "the 18 blocks of stack 2 do not divide into groups of 4; sizes that do: 2"],
    ["1:16", [16, 17], "the 17 blocks of stack 2 do not divide into groups of 16; use mixed groups such as 8:16,9:17"],
    [
      "14:28",
      [14, 14],
      "40116600 ways to keep 14 of 28 blocks, more than 65536; split the group, for example into 7:14",
    ],
    ["20:40", [4, 3], "more than 65536; split the group, for example into 2:4,2:3"],
    ["27:28", [14, 14], "the 14 blocks of stack 1 do not divide into groups of 28; sizes that do: 2, 7, 14"],
    ["1:2,1:2", [4, 4], "covers 4 blocks, the model has 8 in stacks of 4 and 4; these fit: 2:4"],
    [
      "2:3,2:4,1:1",
      [4, 4],
      "2:4 on blocks 3 to 6 reaches over the end of stack 1, which has 4 blocks (0 to 3); these fit: 2:3,1:1,2:3,1:1",
    ],
    ["1:2,1:2,3:6", [2, 4, 4], "3:6 on blocks 4 to 9 reaches over the end of stack 2, which has 4 blocks (2 to 5)"],
  ])("refuses %s for stacks of %j and says why", (text, stacks, message) => {
    expect(() => parseGroups(text, stacks)).toThrow(message);
  });

  it.each([
    ["1:2,1:6", [4, 4]],
    ["1:10", [3, 3, 4]],
    ["1:1,8:9", [2, 2, 6]],
    ["1:16", [19, 31]],
    ["30:60,1:4", [40, 24]],
    ["30:60", [40, 24]],
    ["13:27", [54, 27]],
    ["10:40", [40, 80]],
    ["5:5", [40, 41]],
  ])("propose groups that fit instead of %s for stacks of %j", (text, stacks) => {
    const groups = parseGroups(exampleIn(text, stacks), stacks);
    const ends = groups.map(({ start, size }) => start + size);
    expect(ends.at(-1)).toBe(stacks.reduce((total, depth) => total + depth, 0));
    for (const { end } of stackRanges(stacks)) expect(ends).toContain(end);
  });
});
