import { describe, expect, test } from "vitest";
import { type ScatterPoint, scatterChart } from "../../src/report/scatter-chart.ts";

const chart = (points: readonly ScatterPoint[], more: object = {}) =>
  scatterChart({
    ...{ title: "Quality", xLabel: "seconds", yLabel: "distance", lineName: "front" },
    ...{ series: [{ name: "28 blocks", points }], logX: true, ...more },
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
  Array.from(svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="4.5" fill="([^"]+)"/g), ([, x, y, fill]) => ({
    ...{ x: Number(x), y: Number(y), fill: fill! },
  }));

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
    const line = /<path d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)" fill="none"/.exec(svg)!.slice(1).map(Number);
    expect(line).toEqual([inOrder[0]!.x, inOrder[0]!.y, inOrder[2]!.x, inOrder[2]!.y]);
    expect(svg).toMatch(/<text [^>]*>at 0\.01<\/text>/);
    expect(svg).not.toMatch(/<text [^>]*>at 0\.1<\/text>/);
  });

  test("names marked points without joining them where no line is named", () => {
    const svg = chart([point(1, 10, { isMarked: true }), point(0.01, 30, { isMarked: true })], { lineName: undefined });
    expect(svg).not.toContain('fill="none"');
    expect([svg.includes("╌"), svg.includes(">at 1</text>"), svg.includes(">at 0.01</text>")]).toEqual([
      false,
      true,
      true,
    ]);
  });

  test("draws errors to both sides, and cuts at the bottom what a logarithm has no place for", () => {
    const whisker = /<path d="M([\d.]+) ([\d.]+)V([\d.]+)" stroke="var\(--c0/;
    const [, , low, high] = whisker.exec(chart([point(1, 10, { error: 2 }), point(2, 20)]))!.map(Number) as number[];
    expect(low).toBeGreaterThan(high!);
    const svg = chart([point(1, 10, { error: 12 }), point(2, 1)], { logY: true });
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    const [, , bottom] = whisker.exec(svg)!.map(Number) as number[];
    expect(bottom).toBeGreaterThan(circles(svg)[0]!.y + 50);
  });

  test("draws ranges across, within the axis, and writes the short label beside a marked point", () => {
    const svg = chart([
      point(1, 10, { range: [0.4, 30], isMarked: true, label: "ddim10", shortLabel: "10 steps" }),
      point(2, 20, { range: [2, 2] }),
    ]);
    const across = Array.from(svg.matchAll(/<path d="M([\d.]+) ([\d.]+)H([\d.]+)" stroke="var\(--c0/g));
    expect(across).toHaveLength(1);
    const [, least, y, most] = across[0]!.map(Number) as [number, number, number, number];
    const { x: cx, y: cy } = circles(svg).find(({ fill }) => fill.includes("--c0"))!;
    expect([least < cx, cx < most, y, most <= 640]).toEqual([true, true, cy, true]);
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
