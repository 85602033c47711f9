import { describe, expect, it } from "vitest";
import { keepOptions, parseGroups, printGroups } from "../../src/pruning/groups.ts";

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
    ["2:4,1:2", 28, /cover 6 blocks, the model has 28/],
    ["3:2", 28, /3:2 must keep at least 1 and at most 2 of 2/],
    ["0:2", 28, /must keep at least 1/],
    ["half", 28, /"half" is not of the form N:M/],
    ["14:28", 28, /40116600 options, more than 65536; split it, for example into 7:14/],
  ])("refuses %s for %i blocks and says why", (text, depth, message) => {
    expect(() => parseGroups(text, depth)).toThrow(message);
  });

  it("lists the options in the order of itertools.combinations", () => {
    expect(keepOptions(2, 4)).toEqual([
      [0, 1],
      [0, 2],
      [0, 3],
      [1, 2],
      [1, 3],
      [2, 3],
    ]);
    expect(keepOptions(7, 14)).toHaveLength(3432);
  });

  it("prints what it parsed", () => {
    expect(printGroups(parseGroups("1:2", 6))).toBe("1:2");
    expect(printGroups(parseGroups("2:4,1:2", 6))).toBe("2:4,1:2");
  });
});
