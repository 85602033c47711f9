import { describe, expect, test } from "vitest";
import { type ScatterPoint, scatterChart } from "../../src/report/scatter-chart.ts";

const chart = (points: readonly ScatterPoint[], more: object = {}) =>
  scatterChart({
    title: "Quality",
    xLabel: "seconds",
    yLabel: "distance",
    lineName: "front",
    series: [{ name: "28 blocks", points }],
    logX: true,
    ...more,
  });
const point = (x: number, y: number, more: Partial<ScatterPoint> = {}): ScatterPoint => ({
  x,
  y,
  label: `at ${x}`,
  ...more,
});

interface Circle {
  readonly x: number;
  readonly y: number;
  readonly fill: string;
}

const circles = (svg: string): Circle[] =>
  Array.from(
    svg.matchAll(/matrix\([\d.]+,0,0,[\d.]+,([\d.]+),([\d.]+)\)" fill="([^"]+)" stroke="var\(--c0/g),
    ([, x, y, fill]) => ({ x: Number(x), y: Number(y), fill: fill! }),
  );

/** Straight lines in this colour, [x1, y1, x2, y2]. */
const lines = (svg: string, stroke: string): number[][] =>
  Array.from(
    svg.matchAll(
      new RegExp(
        `<path d="M([\\d.]+) ([\\d.]+)L([\\d.]+) ([\\d.]+)" [^>]*stroke="var\\(--${stroke},[^>]*stroke-width="1.25"`,
        "g",
      ),
    ),
    (match) => match.slice(1).map(Number),
  );

describe("a scatter chart", () => {
  test("places points by the logarithm of x, lower values lower, and fills only marked ones", () => {
    const svg = chart([point(0.01, 30), point(0.1, 20, { isMarked: true }), point(1, 10)]);
    const [a, c, b] = circles(svg) as [Circle, Circle, Circle]; // the marked one is drawn last
    expect(b.x - a.x).toBeCloseTo(c.x - b.x, 0);
    expect(c.y).toBeGreaterThan(a.y);
    expect([a.fill === c.fill, a.fill === b.fill]).toEqual([true, false]);
    expect(svg).toContain("<title>at 0.01</title>");
  });

  test("joins marked points from left to right, whatever their series, and names them", () => {
    const svg = chart([point(1, 10, { isMarked: true }), point(0.01, 30, { isMarked: true }), point(0.1, 50)]);
    const inOrder = circles(svg).toSorted((a, b) => a.x - b.x);
    const [line, ...more] = lines(svg, "soft");
    expect(more).toEqual([]);
    for (const [i, value] of [inOrder[0]!.x, inOrder[0]!.y, inOrder[2]!.x, inOrder[2]!.y].entries()) {
      expect(line![i]).toBeCloseTo(value, 0);
    }
    expect(svg).toMatch(/<text [^>]*>at 0\.01<\/text>/);
    expect(svg).not.toMatch(/<text [^>]*>at 0\.1<\/text>/);
  });

  test("names marked points without joining them where no line is named", () => {
    const svg = chart([point(1, 10, { isMarked: true }), point(0.01, 30, { isMarked: true })], { lineName: undefined });
    expect(lines(svg, "soft")).toEqual([]);
    expect([svg.includes(">at 1</text>"), svg.includes(">at 0.01</text>")]).toEqual([true, true]);
  });

  test("draws errors to both sides, and cuts at the bottom what a logarithm has no place for", () => {
    const [first] = lines(chart([point(1, 10, { error: 2 }), point(2, 20)]), "c0");
    expect(first![1]).toBeGreaterThan(first![3]!);
    const svg = chart([point(1, 10, { error: 12 }), point(2, 1)], { logY: true });
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    expect(lines(svg, "c0")[0]![1]).toBeGreaterThan(circles(svg)[0]!.y + 50);
  });

  test("draws ranges across, within the axis, and writes the short label beside a marked point", () => {
    const svg = chart([
      point(1, 10, { range: [0.4, 30], isMarked: true, label: "ddim10", shortLabel: "10 steps" }),
      point(2, 20, { range: [2, 2] }),
    ]);
    const [across, ...more] = lines(svg, "c0") as [[number, number, number, number]];
    expect(more).toEqual([]);
    const [least, y, most] = across;
    const { x: cx, y: cy } = circles(svg).find(({ fill }) => fill.includes("--c0"))!;
    expect([least < cx, cx < most, most <= 640]).toEqual([true, true, true]);
    expect(y).toBeCloseTo(cy, 0);
    expect([svg.includes(">10 steps</text>"), svg.includes("<title>ddim10</title>")]).toEqual([true, true]);
    expect(svg).not.toContain(">ddim10</text>");
    expect(chart([point(1, 10, { range: [0, 3] })])).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("writes a label for each of many marked points that stand close", () => {
    const many = Array.from({ length: 7 }, (_, i) => point(1 + i / 5, 20 - i, { isMarked: true, error: 1 }));
    const written = chart([...many, point(100, 90)]).match(/<text [^>]*>at [\d.]+<\/text>/g);
    expect(written).toHaveLength(7);
  });

  test("counts what cannot be drawn, and stands without any point", () => {
    expect(chart([point(0, 1), point(1, Number.NaN), point(1, 1)])).toContain("2 not drawable");
    const empty = chart([]);
    expect(empty).toContain("no data");
    expect(empty).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("escapes labels and names", () => {
    const svg = chart([point(1, 1, { label: "<script>", isMarked: true })], { lineName: "<b>" });
    expect(svg).not.toMatch(/<script>|<b>/);
  });
});
