import { describe, expect, test } from "vitest";
import { barChart } from "../../src/report/bar-chart.ts";
import { decisionChart } from "../../src/report/decision-chart.ts";
import { binned, histogramChart } from "../../src/report/histogram-chart.ts";
import { type LineChart, type LineSeries, lineChart } from "../../src/report/line-chart.ts";
import { scatterChart } from "../../src/report/scatter-chart.ts";

const line = (points: LineSeries["points"], more: Partial<LineChart> = {}) =>
  lineChart({ title: "Loss", xLabel: "step", yLabel: "loss", series: [{ name: "masked", points }], ...more });
const evil = `</title><script>alert("1")</script>&'`;

/** Tags are closed in order, no coordinate is NaN, and nothing runs, is fetched or depends on what was drawn before. */
function expectSane(svg: string): void {
  expect(svg).toMatch(/^<svg class="chart" role="img" [^>]*><title>/);
  expect(svg.replaceAll(/<title>[^<]*</g, "<")).not.toMatch(/NaN|Infinity|undefined|ecmeta|<style|<script|href|zr\d/);
  const open: string[] = [];
  for (const [, close, name, selfClosed] of svg.matchAll(/<(\/?)([a-zA-Z]+)[^>]*?(\/?)>/g)) {
    if (close) expect(open.pop()).toBe(name);
    else if (!selfClosed) open.push(name!);
  }
  expect(open).toEqual([]);
}

const tips = (svg: string): string[] =>
  Array.from(svg.matchAll(/<title>([^<]*)<\/title>/g), ([, tip]) => tip!).slice(1);

/** Paths of curves and outlines in the colour of the first series. */
const curves = (svg: string): string[] =>
  Array.from(svg.matchAll(/<path d="([^"]*)" fill="none" [^>]*stroke="var\(--c0/g), ([, path]) => path!);

const dots = (svg: string): number => svg.match(/A1 1 0 1 1[^>]*fill="var\(--c0/g)?.length ?? 0;

describe("every chart", () => {
  test("escapes titles, labels, names and tooltips", () => {
    const charts = [
      lineChart({ title: evil, xLabel: evil, yLabel: evil, series: [{ name: evil, points: [[0, 1]] }] }),
      barChart({ title: evil, xLabel: evil, bars: [{ label: evil, value: 1 }] }),
      decisionChart({
        title: evil,
        xLabel: evil,
        groupSizes: [1],
        steps: [{ step: 0, probabilities: [1], kept: [0] }],
      }),
      scatterChart({
        title: evil,
        xLabel: evil,
        yLabel: evil,
        series: [{ name: evil, points: [{ x: 1, y: 1, label: evil, isMarked: true }] }],
        lineName: evil,
      }),
      histogramChart({
        title: evil,
        xLabel: evil,
        yLabel: evil,
        edges: [0, 1],
        series: [{ name: evil, counts: [1] }],
        marks: [{ x: 0, label: evil }],
      }),
    ];
    for (const svg of charts) {
      expect(svg).toContain("&lt;/title&gt;&lt;script&gt;alert(&quot;1&quot;)");
      expectSane(svg);
    }
  });

  test("has its title and what was found for screen readers", () => {
    const svg = line([
      [0, 3],
      [20, 1],
    ]);
    expect(svg).toContain("<title>Loss</title><desc>loss over step. masked ends at 1 (step 20)</desc>");
  });

  test("is the same text each time it is drawn", () => {
    expect(line([[0, 1]])).toBe(line([[0, 1]]));
  });

  test("takes its colours from the page, with those of the light theme outside of one", () => {
    const colours = line([
      [0, 3],
      [20, 1],
    ]).matchAll(/(?:fill|stroke)="([^"]*)"/g);
    const fixed = Array.from(colours, ([, colour]) => colour!).filter((colour) => !/^var\(--\w+,#/.test(colour));
    expect([...new Set(fixed)].sort()).toEqual(["#000", "none"]); // of clip paths and invisible bands
  });

  test("breaks a title that is wider than the chart between words", () => {
    const title =
      "A title that is longer than the chart is wide, as those of studies tend to be when they ask something";
    const svg = line([[0, 1]], { title });
    expect(svg).toContain(">A title that is longer than the chart is wide, as those of studies</text>");
    expect(svg).toContain(">tend to be when they ask something</text>");
  });
});

describe("a line chart", () => {
  test("draws a line through its points, names the series, and tells the values at each x", () => {
    const svg = line([
      [0, 3],
      [10, 2],
      [20, 1],
    ]);
    expectSane(svg);
    expect(svg).toContain(">masked</text>");
    expect(curves(svg)).toEqual([expect.stringMatching(/^M[\d. ]+L[\d. ]+L[\d. ]+$/)]);
    expect(tips(svg)).toEqual(["step 0\nmasked: 3", "step 10\nmasked: 2", "step 20\nmasked: 1"]);
  });

  test("draws one point as a dot", () => {
    const svg = line([[100, 0.5]]);
    expectSane(svg);
    expect(dots(svg)).toBe(1);
  });

  test.each([[[]], [[{ name: "empty", points: [] }]]])("without points says that there is no data", (series) => {
    const svg = line([], { series });
    expectSane(svg);
    expect(svg).toContain("no data");
  });

  test("leaves a gap at NaN, with a dot for a point between two, and says how many points are missing", () => {
    const svg = line([
      [0, 1],
      [1, 2],
      [2, Number.NaN],
      [3, 2],
      [4, Number.NaN],
      [5, 1],
      [6, 2],
    ]);
    expectSane(svg);
    expect(curves(svg).join("").match(/M/g)).toHaveLength(3);
    expect(dots(svg)).toBe(2); // and the end of the line
    expect(svg).toContain(">step (2 not drawable)</text>");
  });

  test("with a logarithmic axis leaves out values at or below zero", () => {
    const points = [
      [0, 100],
      [1, 0],
      [2, 1],
    ] as const;
    const svg = line(points, { logY: true });
    expectSane(svg);
    expect(svg).toContain("(1 not drawable)");
    expect(svg).toMatch(/>100<\/text>/);
  });

  test("thins out a long series but keeps its spike", () => {
    const svg = line(Array.from({ length: 20_000 }, (_, i) => [i, i === 12_345 ? 100 : 1] as const));
    expect(svg.length).toBeLessThan(50_000);
    const ys = [...curves(svg)[0]!.matchAll(/ ([\d.]+)/g)].map(([, y]) => Number(y));
    expect(Math.max(...ys) - Math.min(...ys)).toBeGreaterThan(200);
    expect(tips(svg).length).toBeLessThanOrEqual(100);
    expect(tips(svg).at(-1)).toContain("step 19.999K");
  });
});

describe("a bar chart", () => {
  const widths = (svg: string): number[] =>
    Array.from(svg.matchAll(/<path d="M([\d.]+) [\d.]+l(-?[\d.]+) 0l0 14/g), ([, , width]) => Number(width));
  const chart = (bars: Parameters<typeof barChart>[0]["bars"]) => barChart({ title: "FID", xLabel: "FID", bars });

  test("writes all values with the digits of their errors, and draws these to both sides", () => {
    const svg = chart([
      { label: "teacher", value: 4.1, error: 0.08 },
      { label: "pruned", value: 14.3, error: 0.31 },
      { label: "recovered", value: 5 },
    ]);
    expectSane(svg);
    expect(svg).toContain(">4.10 ± 0.08<");
    expect(svg).toContain(">14.30 ± 0.31<");
    expect(svg).toContain(">5.00<");
    expect(tips(svg)[0]).toBe("teacher: 4.10 ± 0.08");
    expect(svg.match(/<path [^>]*stroke="var\(--ink/g)).toHaveLength(2);
  });

  test("draws bars in proportion to their values, those that are not marked in grey", () => {
    const svg = chart([1, 2, 4].map((value) => ({ label: `${value}`, value, isMarked: value === 2 })));
    const [one, two, four] = widths(svg);
    expect(two! / one!).toBeCloseTo(2, 1);
    expect(four! / one!).toBeCloseTo(4, 1);
    expect([svg.match(/fill="var\(--muted/g)?.length, svg.match(/fill="var\(--c0/g)?.length]).toEqual([2, 1]);
  });

  test("names a value that is no number, and draws the others, negative ones to the left", () => {
    const svg = chart([
      { label: "diverged", value: Number.NaN, error: 1 },
      { label: "fine", value: 5, error: Number.NaN },
      { label: "lower", value: -2 },
    ]);
    expect(svg).toContain("not a number");
    expect(widths(svg).map(Math.sign)).toEqual([1, -1]);
    expectSane(svg);
  });

  test("without bars says that there is no data", () => {
    const svg = chart([]);
    expectSane(svg);
    expect(svg).toContain("no data");
  });
});

describe("a decision chart", () => {
  const step = (at: number, probabilities: number[], kept: number[]) => ({ step: at, probabilities, kept });
  const decided = (svg: string): number => svg.match(/stroke="var\(--ink[^>]*stroke-width="2"/g)?.length ?? 0;

  test("has a row for each layer, a line between groups, and names the layers kept at the end", () => {
    const steps = [step(0, [0.5, 0.5, 0.5, 0.5], [0, 2]), step(100, [0.1, 0.9, 1, 0], [1, 2])];
    const svg = decisionChart({ title: "Search", groupSizes: [2, 2], steps });
    expectSane(svg);
    const names = Array.from(svg.matchAll(/font-weight:600;"[^>]*>(\d+)</g), ([, layer]) => layer);
    expect(names).toEqual(["1", "2", "1", "2"]); // on the left and on the right
    expect(svg.match(/stroke="var\(--rule/g)!.length).toBeGreaterThan(0);
    expect(svg).toContain("Of 4 layers, 2 are kept at the end: 1, 2");
    expect(tips(svg)).toContain("layer 1, step 0 to 100: kept with probability 0.5");
  });

  test("shades a cell by its probability", () => {
    const svg = decisionChart({ title: "t", groupSizes: [3], steps: [step(0, [1, 0.5, 0], [0])] });
    const opacities = [...svg.matchAll(/stroke-opacity="([\d.]+)"/g)].map(([, opacity]) => Number(opacity));
    expect(opacities).toEqual([0.85, 0.425, 0]);
  });

  test("joins equal neighbours, so that a long search stays small", () => {
    const steps = Array.from({ length: 5000 }, (_, i) => step(i, [1, 0], [0]));
    const svg = decisionChart({ title: "t", groupSizes: [2], steps });
    expectSane(svg);
    expect(svg.length).toBeLessThan(6000);
  });

  test("shows the decision of the last step however long the search", () => {
    const steps = Array.from({ length: 997 }, (_, i) => step(i, [0, 1], [i === 996 ? 0 : 1]));
    const svg = decisionChart({ title: "t", groupSizes: [2], steps });
    expect(svg).toContain("kept at the end: 0");
    expect(decided(svg)).toBe(2);
  });

  test.each([
    ["without steps", []],
    ["with NaN and missing probabilities", [step(0, [Number.NaN], [1])]],
    ["with one step twice", [step(5, [1, 0], [0]), step(5, [1, 0], [0])]],
  ])("%s is still a chart", (_, steps) => {
    expectSane(decisionChart({ title: "t", groupSizes: [1, 1], steps }));
  });
});

describe("a histogram chart", () => {
  const chart = (more: object = {}) =>
    histogramChart({
      title: "Losses",
      xLabel: "loss",
      yLabel: "masks",
      edges: [0, 1, 2, 3],
      series: [{ name: "random", counts: [1, 0, 100] }],
      marks: [
        { x: 2.5, label: "late" },
        { x: 0.5, label: "early <1>" },
        { x: 9, label: "outside" },
        { x: Number.NaN, label: "nowhere" },
      ],
      ...more,
    });

  test("marks values in ascending order, those outside at the end of the bins, and escapes their names", () => {
    const svg = chart();
    const dashed = svg.matchAll(/<path d="M([\d.]+) [\d.]+L[^>]*stroke-dasharray/g);
    const [early, late, outside, ...more] = Array.from(dashed, ([, x]) => Number(x));
    expect(more).toEqual([]);
    expect((late! - early!) / (outside! - early!)).toBeCloseTo(2 / 2.5, 2);
    expect(svg).toContain("early &lt;1&gt;");
    expect(svg.indexOf(">early")).toBeLessThan(svg.indexOf(">late"));
    expectSane(svg);
  });

  test("draws a step for each bin, empty ones at the bottom, on a logarithmic axis too", () => {
    for (const logY of [false, true]) {
      const svg = chart({ logY });
      const ys = Array.from(curves(svg)[0]!.matchAll(/[ML][\d.]+ ([\d.]+)/g), ([, y]) => Number(y));
      expect(new Set(ys).size).toBe(logY ? 2 : 3); // on a logarithmic axis 1 is the bottom
      expect([ys[0], ys.at(-1)]).toEqual([Math.max(...ys), Math.max(...ys)]);
      expect(tips(svg)).toEqual(["0 to 1\nrandom: 1", "1 to 2\nrandom: 0", "2 to 3\nrandom: 100"]);
    }
  });

  test("counts each value once, the largest in the last bin, equal ones in one bin", () => {
    expect(binned([0, 1, 2, 3, 4], 4)).toEqual({ edges: [0, 1, 2, 3, 4], counts: [1, 1, 1, 2] });
    expect(binned([5, 5], 2).counts).toEqual([2, 0]);
  });
});
