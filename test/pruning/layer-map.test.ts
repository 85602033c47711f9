import { describe, expect, it } from "vitest";
import { presets } from "../../src/models/presets.ts";
import { modelOf } from "../../src/models/registry.ts";
import { parseGroups } from "../../src/pruning/groups.ts";
import { layerMap, layerMapRules, parseLayerMap } from "../../src/pruning/layer-map.ts";

describe("layer maps", () => {
  it("paper: pairs a half-depth student with every second teacher block, whatever was kept", () => {
    expect(layerMap("paper", 6, [0, 3, 4], parseGroups("1:2", 6))).toEqual([
      [0, 1],
      [1, 3],
      [2, 5],
    ]);
  });

  it("paper: pairs TinyDiT-D19 at the ends of its seven groups", () => {
    const groups = parseGroups("3:4,3:4,2:4,3:4,2:4,3:4,3:4", 28);
    const kept = groups.flatMap(({ start, keep }) => Array.from({ length: keep }, (_, i) => start + i));
    expect(layerMap("paper", 28, kept, groups)).toEqual([
      [2, 3],
      [5, 7],
      [7, 11],
      [10, 15],
      [12, 19],
      [15, 23],
      [18, 27],
    ]);
  });

  it("next-kept: pairs each student block with the teacher block before its next kept one", () => {
    expect(layerMap("next-kept", 6, [0, 3, 4])).toEqual([
      [0, 2],
      [1, 3],
      [2, 5],
    ]);
  });

  it("group: pairs the ends of groups, also where the depths divide; without groups it is next-kept", () => {
    const kept = [0, 1, 4];
    expect(layerMap("group", 6, kept, parseGroups("2:3,1:3", 6))).toEqual([
      [1, 2],
      [2, 5],
    ]);
    expect(layerMap("group", 6, kept)).toEqual(layerMap("next-kept", 6, kept));
  });

  it("reads explicit pairs and refuses blocks that do not exist", () => {
    expect(parseLayerMap("0:1, 2:5", 3, 6)).toEqual([
      [0, 1],
      [2, 5],
    ]);
    expect(() => parseLayerMap("3:5", 3, 6)).toThrow(
      /3:5 is out of range; the student has blocks 0 to 2, the teacher 0 to 5/,
    );
    expect(() => parseLayerMap("0-1", 3, 6)).toThrow(/pairs student:teacher, such as 0:1,1:3, found "0-1"/);
  });
});

describe("layer maps of several stacks", () => {
  it("paper: pairs TinyMAR-D16 with every second block of each stack of MAR-L", () => {
    const { family, config } = modelOf(presets.get("MAR-L")!);
    const groups = parseGroups("1:2", family.stacks(config));
    const kept = groups.map(({ start }, i) => start + (i % 3 === 0 ? 1 : 0));
    expect(layerMap("paper", family.stacks(config), kept, groups)).toEqual(
      Array.from({ length: 16 }, (_, i) => [i, 2 * i + 1]),
    );
  });

  it("paper: divides the depths of each stack by itself", () => {
    const kept = [1, 4, 5, 6]; // 1 of 4, evenly; 3 of 4, by groups
    const groups = parseGroups("1:4,1:1,2:3", [4, 4]);
    expect(layerMap("paper", [4, 4], kept, groups)).toEqual([
      [0, 3],
      [1, 4],
      [3, 7],
    ]);
    // As one stack of 8 with 4 kept it would be every second block.
    expect(layerMap("paper", 8, kept)).toEqual([
      [0, 1],
      [1, 3],
      [2, 5],
      [3, 7],
    ]);
  });

  it("next-kept: does not look over the end of a stack", () => {
    expect(layerMap("next-kept", [3, 3], [0, 4])).toEqual([
      [0, 2],
      [1, 5],
    ]);
  });

  it.each(layerMapRules)("%s: has no pairs of a stack that keeps nothing", (rule) => {
    expect(layerMap(rule, [2, 4], [3, 5])).toEqual([
      [0, 3 + (rule === "paper" ? 0 : 1)],
      [1, 5],
    ]);
    expect(layerMap(rule, [2, 2], [])).toEqual([]);
    expect(layerMap(rule, [0, 2], [1], parseGroups("1:2", [0, 2]))).toEqual([[0, 1]]);
  });

  it("explicit pairs stay in their stack", () => {
    expect(parseLayerMap("0:1,1:2", [1, 1], [2, 2])).toEqual([
      [0, 1],
      [1, 2],
    ]);
    expect(() => parseLayerMap("1:1", [1, 1], [2, 2])).toThrow("1:1 pairs a block of stack 2 with one of stack 1");
    expect(() => parseLayerMap("2:2", [1, 1], [2, 2])).toThrow(
      "2:2 is out of range; the student has blocks 0 to 1, the teacher 0 to 3",
    );
  });
});
