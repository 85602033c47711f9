import { describe, expect, test } from "vitest";
import { binned, histogramChart } from "../../../src/studies/report/histogram-chart.ts";
import { counted } from "../../../src/studies/report/words.ts";

const chart = (more: object = {}) =>
  histogramChart({
    ...{ title: "Losses", xLabel: "loss", yLabel: "masks", edges: [0, 1, 2, 3] },
    series: [{ name: "random", counts: [1, 0, 100] }],
    marks: [
      { x: 2.5, label: "late" },
      { x: 0.5, label: "early <1>" },
      { x: 9, label: "outside" },
      { x: Number.NaN, label: "nowhere" },
    ],
    ...more,
  });

/** Where the dotted lines stand. */
const lines = (svg: string) =>
  Array.from(svg.matchAll(/<path d="M([\d.]+) [\d.]+V[\d.]+" stroke="[^"]+" stroke-width="1"/g), ([, x]) => Number(x));

describe("a histogram chart", () => {
  test("marks values in ascending order, those outside at the end of the axis, and escapes their names", () => {
    const svg = chart();
    const [early, late, outside] = lines(svg);
    expect(lines(svg)).toHaveLength(3);
    expect((late! - early!) / (outside! - early!)).toBeCloseTo(2 / 2.5, 2);
    expect(svg).toContain("early &lt;1&gt;");
    expect(svg.indexOf("early")).toBeLessThan(svg.indexOf("late"));
    expect(svg).not.toContain("NaN");
  });

  test("draws a bar for each bin, empty ones at the bottom, on a logarithmic axis too", () => {
    for (const logY of [false, true]) {
      const path = /<path d="(M[^"]*Z)"/.exec(chart({ logY }))![1]!;
      const [bottom, ...heights] = Array.from(path.matchAll(/[ML][\d.]+ ([\d.]+)/g), ([, y]) => Number(y));
      expect(heights).toHaveLength(3);
      expect(heights[1]).toBe(bottom);
      expect(heights[2]).toBeLessThan(heights[0]!);
    }
  });

  test("counts each value once, the largest in the last bin, equal ones in one bin", () => {
    expect(binned([0, 1, 2, 3, 4], 4)).toEqual({ edges: [0, 1, 2, 3, 4], counts: [1, 1, 1, 2] });
    expect(binned([5, 5], 2).counts).toEqual([2, 0]);
  });
});

test("one is counted as one", () => {
  expect([counted(1, "seed"), counted(2, "search"), counted(0, "cell")]).toEqual(["1 seed", "2 searches", "0 cells"]);
});
