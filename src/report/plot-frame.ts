/** The frame of a chart with two axes: its legend, its grid, what its axes are, and where values stand. */
import type { Axis } from "./axis.ts";
import {
  belowTitle,
  chartFrame,
  chartWidth,
  colour,
  type LegendEntry,
  legend,
  round,
  textAt,
  textWidth,
} from "./chart-frame.ts";
import type { Box } from "./label-places.ts";

export interface PlotFrame {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly xAxis: Axis;
  readonly yAxis: Axis;
  readonly legend: readonly LegendEntry[];
  /** Units between the lowest and the highest tick. */
  readonly height: number;
  /** Units above the plot, for names of what is in it. */
  readonly headroom?: number;
  /** Values that are drawn, and those that cannot be. */
  readonly shown: number;
  readonly hidden?: number;
}

export interface Plot {
  readonly box: Box;
  /** Where a value stands, in units; outside of the box for one outside of the axis. */
  x(value: number): number;
  y(value: number): number;
  /** The whole chart, of what was drawn in the plot. */
  chart(description: string, drawn: readonly string[]): string;
}

/** Finds the plot's place in the frame. */
export function plotIn(frame: PlotFrame): Plot {
  const { title, xLabel, yLabel, xAxis, yAxis, height, headroom = 0, shown, hidden = 0 } = frame;
  const key = legend(frame.legend, belowTitle(title));
  const left = Math.max(...yAxis.ticks.map(({ label }) => textWidth(label))) + 14;
  const top = key.bottom + 48 + headroom;
  const box = { left, right: chartWidth - 14, top, bottom: top + height };
  const x = (value: number) => round(box.left + xAxis.position(value) * (box.right - box.left));
  const y = (value: number) => round(box.bottom - yAxis.position(value) * height);
  const soft = `fill="${colour.soft}"`;
  const middle = [(box.left + box.right) / 2, (box.top + box.bottom) / 2] as const;
  const chart = (description: string, drawn: readonly string[]) => {
    const body = [
      key.svg,
      ...xAxis.ticks.map(({ value, label }) => column(x(value), label, box)),
      ...yAxis.ticks.map(({ value, label }, i) => row(y(value), label, box, i === 0)), // over the columns
      textAt(0, key.bottom + 29, yLabel, soft),
      textAt(box.right, box.bottom + 52, xLabel, `${soft} text-anchor="end"`),
      hidden > 0 ? textAt(0, box.bottom + 52, `${hidden} not drawable`, soft) : "",
      shown === 0 ? textAt(...middle, "no data", `${soft} text-anchor="middle" font-style="italic"`) : "",
      ...drawn,
    ];
    return chartFrame(title, description, box.bottom + 62, body.join(""));
  };
  return { box, x, y, chart };
}

function row(y: number, label: string, { left, right }: Box, isLowest: boolean): string {
  return (
    `<path d="M${round(left)} ${y}H${right}" stroke="${isLowest ? colour.soft : colour.rule}"/>` +
    textAt(left - 10, y, label, `fill="${colour.soft}" text-anchor="end" dominant-baseline="central"`)
  );
}

/** A label near the edge of the chart stays within it. */
function column(x: number, label: string, { left, right, top, bottom }: Box): string {
  const anchor = x > right - 12 ? "end" : x < left + 12 && left < 30 ? "start" : "middle";
  return (
    `<path d="M${x} ${round(top)}V${round(bottom + 5)}" stroke="${colour.rule}"/>` +
    textAt(anchor === "end" ? right + 12 : x, bottom + 24, label, `fill="${colour.soft}" text-anchor="${anchor}"`)
  );
}
