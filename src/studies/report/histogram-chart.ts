/** Histograms over one axis as SVG, with values marked on it, each by a line with its name. */
import { linearAxis, logAxis } from "../../report/axis.ts";
import { chartWidth, colour, seriesColour, textAt } from "../../report/chart-frame.ts";
import { plotIn } from "../../report/plot-frame.ts";

export interface HistogramSeries {
  readonly name: string;
  /** One count for each bin. */
  readonly counts: readonly number[];
}

export interface HistogramChart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** Where bins begin, and where the last one ends: one more than bins. */
  readonly edges: readonly number[];
  readonly series: readonly HistogramSeries[];
  readonly marks: readonly { readonly x: number; readonly label: string }[];
  /** Logarithmic counts; empty bins are gaps. */
  readonly logY?: boolean;
}

const plotHeight = 240;
const rowHeight = 20;

/** Draws the chart; marks outside the axis stand at its end. */
export function histogramChart(chart: HistogramChart): string {
  const { title, xLabel, yLabel, edges, series, logY = false } = chart;
  const counts = series.flatMap((one) => one.counts).filter((count) => !logY || count > 0);
  const yAxis = logY ? logAxis(counts) : linearAxis([0, ...counts]);
  const xAxis = linearAxis(edges, { snug: true });
  const marks = chart.marks.filter(({ x }) => Number.isFinite(x)).toSorted((a, b) => a.x - b.x);
  const plot = plotIn({
    ...{ title, xLabel, yLabel, xAxis, yAxis, height: plotHeight, shown: counts.length },
    legend: series.map(({ name }, i) => ({ name, colour: seriesColour(i), mark: "■" })),
    headroom: marks.length * rowHeight,
  });
  const { left, right, top, bottom } = plot.box;
  const x = (value: number) => Math.min(right, Math.max(left, plot.x(value)));
  const y = (count: number) => Math.min(bottom, Math.max(top, plot.y(count)));
  const told = marks.map((mark) => `${mark.label} at ${mark.x.toPrecision(4)}`).join("; ");
  return plot.chart(`${yLabel} over ${xLabel}. ${told}`, [
    ...series.map((one, i) => outline(one, edges, { x, y, bottom, logY }, seriesColour(i))),
    ...marks.map((mark, row) => drawMark(mark.label, x(mark.x), top + (row - marks.length) * rowHeight, bottom)),
  ]);
}

interface Places {
  x(value: number): number;
  y(count: number): number;
  readonly bottom: number;
  readonly logY: boolean;
}

/** The steps of a histogram, lightly filled. */
function outline(
  { counts }: HistogramSeries,
  edges: readonly number[],
  { x, y, bottom, logY }: Places,
  stroke: string,
) {
  const bars = counts.map((count, i) => {
    const height = count > 0 || !logY ? y(count) : bottom;
    return `L${x(edges[i]!)} ${height}H${x(edges[i + 1]!)}`;
  });
  const path = `M${x(edges[0]!)} ${bottom}${bars.join("")}V${bottom}Z`;
  return `<path d="${path}" fill="${stroke}" fill-opacity="0.18" stroke="${stroke}" stroke-width="1.5"/>`;
}

/** The name stands where there is more room. */
function drawMark(label: string, x: number, y: number, bottom: number): string {
  const isLeft = x > chartWidth / 2;
  const text = textAt(isLeft ? x - 5 : x + 5, y + 4, label, `font-size="0.85em"${isLeft ? ` text-anchor="end"` : ""}`);
  return `<path d="M${x} ${y - 6}V${bottom}" stroke="${colour.ink}" stroke-width="1" stroke-dasharray="2 3"/>${text}`;
}

/** How many finite values lie in each of `bins` equal bins from the smallest to the largest. */
export function binned(values: readonly number[], bins: number): { edges: number[]; counts: number[] } {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const width = (high - low) / bins || 1;
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) counts[Math.min(bins - 1, Math.floor((value - low) / width))]!++;
  return { edges: Array.from({ length: bins + 1 }, (_, i) => low + i * width), counts };
}
