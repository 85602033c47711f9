import { describe, expect, it } from "vitest";
import { parseGroups } from "../../src/pruning/groups.ts";
import { layerMap, parseLayerMap } from "../../src/pruning/layer-map.ts";

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

  it("reads explicit pairs and refuses blocks that do not exist", () => {
    expect(parseLayerMap("0:1, 2:5", 3, 6)).toEqual([
      [0, 1],
      [2, 5],
    ]);
    expect(() => parseLayerMap("3:5", 3, 6)).toThrow(/3:5 is outside the student's 3/);
    expect(() => parseLayerMap("0-1", 3, 6)).toThrow(/not a pair student:teacher/);
  });
});
