/** A line chart as SVG: several series over one x axis, linear or logarithmic in y. */
import { type Axis, linearAxis, logAxis } from "./axis.ts";
import {
  belowTitle,
  chartFrame,
  chartWidth,
  colour,
  legend,
  round,
  seriesColour,
  textAt,
  textWidth,
} from "./chart-frame.ts";

/** Named points, ascending in x. A y that is not finite is a gap in the line. */
export interface LineSeries {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
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

type Place = (point: readonly [number, number]) => readonly [number, number];

const plotHeight = 240;
const mostPoints = 400;

/** Draws the chart: an `<svg>` element for the page of a report, or for a file of its own. */
export function lineChart({ title, xLabel, yLabel, series, logY = false }: LineChart): string {
  const drawable = ([x, y]: readonly [number, number]) => Number.isFinite(x) && Number.isFinite(y) && (!logY || y > 0);
  const points = series.flatMap((one) => one.points.filter(drawable));
  const xAxis = linearAxis(
    points.map(([x]) => x),
    { snug: true },
  );
  const ys = points.map(([, y]) => y);
  const yAxis = logY ? logAxis(ys) : linearAxis(ys);
  const named = series.map(({ name }, i) => ({ name, colour: seriesColour(i), mark: "●" }));
  const key = legend(named, belowTitle(title));
  const left = Math.max(...yAxis.ticks.map(({ label }) => textWidth(label))) + 14;
  const top = key.bottom + 48;
  const box = { left, right: chartWidth - 14, top, bottom: top + plotHeight };
  const place: Place = ([x, y]) => [
    box.left + xAxis.position(x) * (box.right - box.left),
    box.bottom - yAxis.position(y) * plotHeight,
  ];
  const hidden = series.reduce((count, one) => count + one.points.length, 0) - points.length;
  const body = [
    key.svg,
    grid(xAxis, yAxis, box, place),
    textAt(0, box.top - 19, yLabel, `fill="${colour.soft}"`),
    textAt(box.right, box.bottom + 52, xLabel, `fill="${colour.soft}" text-anchor="end"`),
    hidden > 0 ? textAt(0, box.bottom + 52, `${hidden} not drawable`, `fill="${colour.soft}"`) : "",
    points.length === 0 ? emptyNote((box.left + box.right) / 2, (box.top + box.bottom) / 2) : "",
    ...series.map((one, i) => drawSeries(one, seriesColour(i), drawable, place)),
  ];
  return chartFrame(title, describe(series, xLabel, yLabel), box.bottom + 62, body.join(""));
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

function grid(xAxis: Axis, yAxis: Axis, box: Box, place: Place): string {
  const lowest = yAxis.ticks[0]!.value;
  const rows = yAxis.ticks.map(({ value, label }, i) => {
    const y = round(box.bottom - yAxis.position(value) * plotHeight);
    const stroke = i === 0 ? colour.soft : colour.rule;
    return (
      `<path d="M${round(box.left)} ${y}H${box.right}" stroke="${stroke}" stroke-width="1"/>` +
      textAt(box.left - 10, y, label, `fill="${colour.soft}" text-anchor="end" dominant-baseline="central"`)
    );
  });
  const columns = xAxis.ticks.map(({ value, label }) => {
    const x = place([value, lowest])[0];
    const anchor = x > box.right - 12 ? "end" : x < box.left + 12 && box.left < 30 ? "start" : "middle";
    return (
      `<path d="M${round(x)} ${round(box.bottom)}v5" stroke="${colour.soft}" stroke-width="1"/>` +
      textAt(
        anchor === "end" ? box.right + 12 : x,
        box.bottom + 24,
        label,
        `fill="${colour.soft}" text-anchor="${anchor}"`,
      )
    );
  });
  return rows.join("") + columns.join("");
}

function drawSeries(
  { points }: LineSeries,
  stroke: string,
  drawable: (point: readonly [number, number]) => boolean,
  place: Place,
): string {
  const runs: (readonly [number, number])[][] = [[]];
  for (const point of points) {
    if (drawable(point)) runs.at(-1)!.push(point);
    else if (runs.at(-1)!.length > 0) runs.push([]);
  }
  const path = runs
    .filter((run) => run.length > 1)
    .map(
      (run) =>
        `M${thinned(run)
          .map((point) => place(point).map(round).join(" "))
          .join("L")}`,
    )
    .join("");
  const alone = runs.filter((run) => run.length === 1).map((run) => dot(place(run[0]!), 3.5, stroke));
  const last = points.findLast(drawable);
  const end = last && path ? dot(place(last), 3, stroke) : "";
  const line = path && `<path d="${path}" fill="none" stroke="${stroke}" stroke-width="2" stroke-linejoin="round"/>`;
  return line + alone.join("") + end;
}

/** At most `mostPoints` points: of each stretch the lowest and the highest, so that spikes stay visible. */
function thinned(run: readonly (readonly [number, number])[]): readonly (readonly [number, number])[] {
  if (run.length <= mostPoints) return run;
  const kept = [run[0]!];
  const stretches = mostPoints / 2 - 1;
  for (let s = 0; s < stretches; s++) {
    const part = run.slice(
      1 + Math.floor((s * (run.length - 2)) / stretches),
      1 + Math.floor(((s + 1) * (run.length - 2)) / stretches),
    );
    const low = part.reduce((a, b) => (b[1] < a[1] ? b : a));
    const high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...(low[0] <= high[0] ? [low, high] : [high, low]));
  }
  return [...kept, run.at(-1)!];
}

function dot([x, y]: readonly [number, number], radius: number, fill: string): string {
  return `<circle cx="${round(x)}" cy="${round(y)}" r="${radius}" fill="${fill}"/>`;
}

function emptyNote(x: number, y: number): string {
  return textAt(x, y, "no data", `fill="${colour.soft}" text-anchor="middle" font-style="italic"`);
}

function describe(series: readonly LineSeries[], xLabel: string, yLabel: string): string {
  const ends = series.map(({ name, points }) => {
    const last = points.at(-1);
    return last ? `${name} ends at ${last[1]} (${xLabel} ${last[0]})` : `${name} has no points`;
  });
  return `${yLabel} over ${xLabel}. ${ends.join("; ")}`;
}
