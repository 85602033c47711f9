/** A line chart: several series over one x axis, linear or logarithmic in y. */
import type { LineSeriesOption } from "echarts";
import { type Band, bandSeries, drawChart, seriesColour } from "./chart.ts";
import { shortNumber, valueAxis } from "./chart-axis.ts";

type Point = readonly [x: number, y: number];

/** Named points, ascending in x. A y that is not finite is a gap in the line. */
export interface LineSeries {
  readonly name: string;
  readonly points: readonly Point[];
}

/** What a line chart shows. */
export interface LineChart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly LineSeries[];
  /** Logarithmic y; values at or below 0 are gaps. */
  readonly logY?: boolean;
}

/** Draws the chart as SVG. */
export function lineChart({ title, xLabel, yLabel, series, logY = false }: LineChart): string {
  const isDrawable = ([x, y]: Point) => Number.isFinite(x) && Number.isFinite(y) && (!logY || y > 0);
  const ys = series.flatMap(({ points }) => points.filter(isDrawable).map(([, y]) => y));
  const hidden = series.reduce((count, { points }) => count + points.length, -ys.length);
  const ends = series.map(({ name, points }) => {
    const last = points.at(-1);
    return last ? `${name} ends at ${last[1]} (${xLabel} ${last[0]})` : `${name} has no points`;
  });
  return drawChart({
    title,
    subtitle: yLabel,
    description: `${yLabel} over ${xLabel}. ${ends.join("; ")}`,
    height: 240,
    legend: series.map(({ name }) => ({ name, icon: "circle" })),
    isEmpty: ys.length === 0,
    xAxis: valueAxis({ name: hidden > 0 ? `${xLabel} (${hidden} not drawable)` : xLabel }),
    yAxis: valueAxis({ logOf: logY ? ys : undefined }),
    series: [...series.map((one, i) => lineOf(one, isDrawable, seriesColour(i))), bandSeries(bandsOf(series, xLabel))],
  });
}

/** Long lines are thinned to the lowest and highest value of each pixel; the end of a line, and points alone, are dots. */
function lineOf({ name, points }: LineSeries, isDrawable: (point: Point) => boolean, color: string): LineSeriesOption {
  const last = points.findLastIndex(isDrawable);
  const isAlone = (i: number) => [points[i - 1], points[i + 1]].every((point) => !point || !isDrawable(point));
  const data = points.map((point, i) => ({
    value: isDrawable(point) ? [...point] : [point[0], "-"],
    symbol: i === last || isAlone(i) ? "circle" : "none",
  }));
  return {
    type: "line",
    name,
    data,
    sampling: "minmax",
    color,
    lineStyle: { width: 2 },
    showAllSymbol: true,
    symbolSize: 6,
  };
}

const MOST_BANDS = 100;

/** A band around each x, or around some of many, with the values there. */
function bandsOf(series: readonly LineSeries[], xLabel: string): Band[] {
  const all = [...new Set(series.flatMap(({ points }) => points.map(([x]) => x)))].filter(Number.isFinite);
  const stride = Math.ceil(all.length / MOST_BANDS);
  const xs = all.sort((a, b) => a - b).filter((_, i) => (all.length - 1 - i) % stride === 0);
  const values = series.map(({ name, points }) => [name, new Map(points)] as const);
  return xs.map((x, i) => {
    const found = values.flatMap(([name, at]) => (at.has(x) ? `\n${name}: ${at.get(x)}` : []));
    const tip = `${xLabel} ${shortNumber(x)}${found.join("")}`;
    return { from: ((xs[i - 1] ?? x) + x) / 2, to: (x + (xs[i + 1] ?? x)) / 2, tip };
  });
}
