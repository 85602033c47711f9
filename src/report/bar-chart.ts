/** A chart of horizontal bars: a few named values to compare, with standard errors where they are known. */
import type { YAXisComponentOption } from "echarts";
import { colour, drawChart, segmentSeries, seriesColour } from "./chart.ts";
import { valueAxis } from "./chart-axis.ts";

/** One bar. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  /** Standard error, drawn as a whisker of one to each side. */
  readonly error?: number;
  /** Drawn in the accent colour, the others in grey; if no bar is marked, all are. */
  readonly isMarked?: boolean;
}

/** A bar chart; bars are drawn in the order given. */
export interface BarChart {
  readonly title: string;
  /** What the values are, with their unit. */
  readonly xLabel: string;
  readonly bars: readonly Bar[];
}

/** Draws the chart as SVG: names on the left, values on the right. */
export function barChart({ title, xLabel, bars }: BarChart): string {
  const texts = valueTexts(bars);
  const someMarked = bars.some(({ isMarked }) => isMarked);
  const names = (texts: readonly string[], fontWeight: number): YAXisComponentOption => ({
    type: "category",
    inverse: true,
    data: [...texts],
    axisLine: { show: false },
    axisTick: { show: false },
    axisLabel: { color: colour.ink, fontSize: 12.5, fontWeight, width: 250, overflow: "truncate", interval: 0 },
  });
  const whiskers = bars.flatMap((bar, i) => {
    const [value, error] = [bar.value, errorOf(bar)];
    const ends = { from: [value - error, i], to: [value + error, i] } as const;
    return error > 0 && Number.isFinite(value) ? { ...ends, stroke: colour.ink } : [];
  });
  return drawChart({
    title,
    subtitle: xLabel,
    description: `${xLabel}. ${bars.map(({ label }, i) => `${label}: ${texts[i]}`).join("; ")}`,
    height: 26 * Math.max(bars.length, 2),
    below: 8,
    isEmpty: bars.length === 0,
    xAxis: { ...valueAxis({ fromZero: true }), axisLabel: { show: false }, splitLine: { show: false } },
    yAxis: [
      names(
        bars.map(({ label }) => label),
        400,
      ),
      { ...names(texts, 600), position: "right" },
    ],
    series: [
      {
        type: "bar",
        barWidth: 14,
        data: bars.map(({ label, value, isMarked }, i) => ({
          value: Number.isFinite(value) ? value : "-",
          name: `${label}: ${texts[i]}`,
          itemStyle: { color: someMarked && !isMarked ? colour.muted : seriesColour(0) },
        })),
        markLine: {
          symbol: "none",
          silent: true,
          data: [{ xAxis: 0 }],
          label: { show: false },
          lineStyle: { color: colour.soft, type: "solid" },
        },
      },
      segmentSeries(whiskers),
    ],
  });
}

/** The error as drawn: 0 if there is none, or none that is finite. */
const errorOf = ({ error = 0 }: Bar): number => (Number.isFinite(error) ? Math.abs(error) : 0);

/** Values with equal decimals: two digits of the largest error, or else four of the largest value. */
function valueTexts(bars: readonly Bar[]): string[] {
  const error = Math.max(0, ...bars.map(errorOf));
  const value = Math.max(0, ...bars.map(({ value }) => Math.abs(value)).filter(Number.isFinite));
  const decimals = (error > 0 ? 1 : 3) - Math.floor(Math.log10(error || value || 1) + 1e-12);
  const text = (x: number) => x.toFixed(Math.min(8, Math.max(0, decimals))).replace("-", "−");
  return bars.map((bar) => {
    if (!Number.isFinite(bar.value)) return "not a number";
    return errorOf(bar) > 0 ? `${text(bar.value)} ± ${text(errorOf(bar))}` : text(bar.value);
  });
}
