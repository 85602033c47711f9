/** Histograms over one axis, with values marked on it, each by a line with its name. */
import type { CustomSeriesOption, LineSeriesOption } from "echarts";
import { bandSeries, CHART_WIDTH, colour, drawChart, seriesColour } from "./chart.ts";
import { logTicks, shortNumber, valueAxis } from "./chart-axis.ts";

/** What a histogram shows. */
export interface HistogramChart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** Where bins begin, and where the last one ends: one more than bins. */
  readonly edges: readonly number[];
  /** One count for each bin. */
  readonly series: readonly { readonly name: string; readonly counts: readonly number[] }[];
  readonly marks: readonly { readonly x: number; readonly label: string }[];
  /** Logarithmic counts. */
  readonly logY?: boolean;
}

const MARK_ROW = 18;

/** Draws the chart as SVG; marks beyond the bins are drawn at their end. */
export function histogramChart(chart: HistogramChart): string {
  const { title, xLabel, yLabel, edges, series, logY = false } = chart;
  const counts = series.flatMap((one) => one.counts).filter((count) => !logY || count > 0);
  const [first, last] = [edges[0]!, edges.at(-1)!];
  const lowest = logY ? logTicks(counts)[0]! : 0;
  const marks = chart.marks.filter(({ x }) => Number.isFinite(x)).toSorted((a, b) => a.x - b.x);
  const bands = edges.slice(1).map((to, i) => {
    const found = series.map(({ name, counts }) => `\n${name}: ${counts[i]}`).join("");
    return { from: edges[i]!, to, tip: `${shortNumber(edges[i]!)} to ${shortNumber(to)}${found}` };
  });
  const outlines = series.map(({ name, counts }, i): LineSeriesOption => {
    const steps = counts.map((count, bin) => [edges[bin]!, Math.max(count, lowest)]);
    const data = [[first, lowest], ...steps, [last, steps.at(-1)![1]!], [last, lowest]];
    const style = { color: seriesColour(i), lineStyle: { width: 1.5 }, areaStyle: { opacity: 0.18 } };
    return { type: "line", name, data, step: "end", symbol: "none", ...style };
  });
  return drawChart({
    title,
    subtitle: yLabel,
    description: `${yLabel} over ${xLabel}. ${marks.map(({ label, x }) => `${label} at ${x.toPrecision(4)}`).join("; ")}`,
    height: 240,
    above: marks.length * MARK_ROW,
    legend: series.map(({ name }) => ({ name, icon: "rect" })),
    isEmpty: counts.length === 0,
    xAxis: valueAxis({ name: xLabel }),
    yAxis: valueAxis({ logOf: logY ? counts : undefined }),
    series: [
      ...outlines,
      bandSeries(bands),
      markSeries(marks.map(({ x, label }) => ({ x: Math.min(last, Math.max(first, x)), label }))),
    ],
  });
}

/** Dashed lines with their names above the plot, one below the other, on the side with more room. */
const markSeries = (marks: HistogramChart["marks"]): CustomSeriesOption => ({
  type: "custom",
  clip: false,
  encode: { x: 0 },
  data: marks.map(({ x }) => [x]),
  renderItem: ({ dataIndex, coordSys }, api) => {
    const { y: top, height } = coordSys as unknown as { y: number; height: number };
    const x = api.coord([api.value(0), 1])[0]!;
    const y = top + (dataIndex - marks.length) * MARK_ROW;
    const style = {
      text: marks[dataIndex]!.label,
      y,
      fill: colour.ink,
      fontSize: 11.5,
      verticalAlign: "middle",
    } as const;
    const side = x > CHART_WIDTH / 2 ? ({ x: x - 5, align: "right" } as const) : ({ x: x + 5, align: "left" } as const);
    const line = { stroke: colour.ink, lineDash: [2, 3] };
    return {
      type: "group",
      children: [
        { type: "line", shape: { x1: x, y1: y - 6, x2: x, y2: top + height }, style: line },
        { type: "text", style: { ...style, ...side } },
      ],
    };
  },
});

/** How many finite values lie in each of `bins` equal bins from the smallest to the largest. */
export function binned(values: readonly number[], bins: number): { edges: number[]; counts: number[] } {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const width = (high - low) / bins || 1;
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) counts[Math.min(bins - 1, Math.floor((value - low) / width))]!++;
  return { edges: Array.from({ length: bins + 1 }, (_, i) => low + i * width), counts };
}
