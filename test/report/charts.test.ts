import { describe, expect, test } from "vitest";
import { barChart } from "../../src/report/bar-chart.ts";
import { decisionChart } from "../../src/report/decision-chart.ts";
import { type LineSeries, lineChart } from "../../src/report/line-chart.ts";

const line = (...series: LineSeries[]) => lineChart({ title: "Loss", xLabel: "step", yLabel: "loss", series });
const evil = `</title><script>alert("1")</script>&'`;

/** Tags are closed in order, and no coordinate is NaN. */
function expectSane(svg: string): void {
  expect(svg).toMatch(/^<svg [^>]*role="img"[^>]*><title>/);
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  const open: string[] = [];
  for (const [, close, name, selfClosed] of svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
    if (close) expect(open.pop()).toBe(name);
    else if (!selfClosed) open.push(name!);
  }
  expect(open).toEqual([]);
}

describe("every chart", () => {
  test("escapes titles, labels and names", () => {
    const charts = [
      lineChart({ title: evil, xLabel: evil, yLabel: evil, series: [{ name: evil, points: [[0, 1]] }] }),
      barChart({ title: evil, xLabel: evil, bars: [{ label: evil, value: 1 }] }),
      decisionChart({ title: evil, xLabel: evil, groupSizes: [1], steps: [] }),
    ];
    for (const svg of charts) {
      expect(svg).not.toContain("<script");
      expect(svg).toContain("&lt;/title&gt;&lt;script&gt;alert(&quot;1&quot;)");
      expectSane(svg);
    }
  });

  test("has its title for screen readers", () => {
    expect(line({ name: "a", points: [[0, 1]] })).toContain("<title>Loss</title>");
  });
});

describe("a line chart", () => {
  test("draws a line through its points and names the series", () => {
    const svg = line({
      name: "masked",
      points: [
        [0, 3],
        [10, 2],
        [20, 1],
      ],
    });
    expectSane(svg);
    expect(svg).toMatch(/masked<\/tspan>/);
    expect(svg.match(/<path d="M[\d. ]+L[\d. ]+L[\d. ]+" fill="none"/)).toHaveLength(1);
  });

  test("draws one point as a dot", () => {
    const svg = line({ name: "single", points: [[100, 0.5]] });
    expectSane(svg);
    expect(svg.match(/<circle/g)).toHaveLength(1);
  });

  test.each([[[]], [[{ name: "empty", points: [] }]]])("without points says that there is no data", (series) => {
    const svg = line(...series);
    expectSane(svg);
    expect(svg).toContain("no data");
  });

  test("leaves a gap at NaN and says how many points are missing", () => {
    const svg = line({
      name: "gap",
      points: [
        [0, 1],
        [1, 2],
        [2, Number.NaN],
        [3, 2],
        [4, 1],
      ],
    });
    expectSane(svg);
    expect(svg.match(/d="(M[^"]*)" fill="none"/)![1]!.match(/M/g)).toHaveLength(2);
    expect(svg).toContain("1 not drawable");
  });

  test("with a logarithmic axis leaves out values at or below zero", () => {
    const series = [
      {
        name: "a",
        points: [
          [0, 100],
          [1, 0],
          [2, 1],
        ],
      },
    ] as const;
    const svg = lineChart({ title: "t", xLabel: "x", yLabel: "y", series, logY: true });
    expectSane(svg);
    expect(svg).toContain("1 not drawable");
    expect(svg).toMatch(/>100<\/text>/);
  });

  test("thins out a long series but keeps its spike", () => {
    const points = Array.from({ length: 20_000 }, (_, i) => [i, i === 12_345 ? 100 : 1] as const);
    const svg = line({ name: "long", points });
    expect(svg.length).toBeLessThan(20_000);
    const ys = [...svg.match(/d="(M[^"]*)" fill="none"/)![1]!.matchAll(/ ([\d.]+)/g)].map(([, y]) => Number(y));
    expect(Math.max(...ys) - Math.min(...ys)).toBeGreaterThan(200);
  });
});

describe("a bar chart", () => {
  test("writes all values with the digits of their errors", () => {
    const bars = [
      { label: "teacher", value: 4.1, error: 0.08 },
      { label: "pruned", value: 14.3, error: 0.31 },
    ];
    const svg = barChart({ title: "FID", xLabel: "FID", bars });
    expectSane(svg);
    expect(svg).toContain(">4.10 ± 0.08<");
    expect(svg).toContain(">14.30 ± 0.31<");
  });

  test("draws bars in proportion to their values", () => {
    const bars = [1, 2, 4].map((value) => ({ label: `${value}`, value }));
    const widths = [...barChart({ title: "t", xLabel: "x", bars }).matchAll(/<rect [^>]*width="([\d.]+)"/g)];
    const [one, two, four] = widths.map(([, width]) => Number(width));
    expect(two! / one!).toBeCloseTo(2, 1);
    expect(four! / one!).toBeCloseTo(4, 1);
  });

  test("names a value that is no number, and draws the others", () => {
    const bars = [
      { label: "diverged", value: Number.NaN, error: 1 },
      { label: "fine", value: 5, error: Number.NaN },
      { label: "lower", value: -2 },
    ];
    const svg = barChart({ title: "t", xLabel: "x", bars });
    expect(svg).toContain("not a number");
    expect(svg.match(/<rect/g)).toHaveLength(2);
    expectSane(svg);
  });

  test("without bars says that there is no data", () => {
    const svg = barChart({ title: "t", xLabel: "x", bars: [] });
    expectSane(svg);
    expect(svg).toContain("no data");
  });
});

describe("a decision chart", () => {
  const step = (at: number, probabilities: number[], kept: number[]) => ({ step: at, probabilities, kept });

  test("has a row for each layer, a line between groups, and names the layers kept at the end", () => {
    const steps = [step(0, [0.5, 0.5, 0.5, 0.5], [0, 2]), step(100, [0.1, 0.9, 1, 0], [1, 2])];
    const svg = decisionChart({ title: "Search", groupSizes: [2, 2], steps });
    expectSane(svg);
    expect(svg.match(/<rect/g)).toHaveLength(4);
    expect(svg.match(/stroke="var\(--rule[^"]*"/g)).toHaveLength(1);
    expect([...svg.matchAll(/font-weight="600" font-size=".8em">(\d+)</g)].map(([, layer]) => layer)).toEqual([
      "1",
      "2",
    ]);
    expect(svg).toContain("Of 4 layers, 2 are kept at the end: 1, 2");
  });

  test("shades a cell by its probability and leaves it empty at 0", () => {
    const svg = decisionChart({ title: "t", groupSizes: [3], steps: [step(0, [1, 0.5, 0], [0])] });
    const opacities = [...svg.matchAll(/opacity="([\d.]+)"/g)].map(([, opacity]) => Number(opacity));
    expect(opacities).toHaveLength(2);
    expect(opacities[0]! / opacities[1]!).toBeCloseTo(2, 6);
  });

  test("joins equal neighbours, so that a long search stays small", () => {
    const steps = Array.from({ length: 5000 }, (_, i) => step(i, [1, 0], [0]));
    const svg = decisionChart({ title: "t", groupSizes: [2], steps });
    expectSane(svg);
    expect(svg.length).toBeLessThan(4000);
  });

  test("shows the decision of the last step however long the search", () => {
    const steps = Array.from({ length: 997 }, (_, i) => step(i, [0, 1], [i === 996 ? 0 : 1]));
    const svg = decisionChart({ title: "t", groupSizes: [2], steps });
    expect(svg).toContain("kept at the end: 0");
    expect([...svg.matchAll(/<path d="M[^"]*" stroke="var\(--ink/g)]).toHaveLength(2);
  });

  test.each([
    ["without steps", []],
    ["with NaN and missing probabilities", [step(0, [Number.NaN], [1])]],
    ["with one step twice", [step(5, [1, 0], [0]), step(5, [1, 0], [0])]],
  ])("%s is still a chart", (_, steps) => {
    expectSane(decisionChart({ title: "t", groupSizes: [1, 1], steps }));
  });
});
