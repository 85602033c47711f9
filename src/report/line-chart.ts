/** A line chart as SVG: several series over one x axis, linear or logarithmic in y. */
import { linearAxis, logAxis } from "./axis.ts";
import { seriesColour } from "./chart-frame.ts";
import { plotIn } from "./plot-frame.ts";

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
  const plot = plotIn({
    ...{ title, xLabel, yLabel, xAxis, yAxis, height: plotHeight, shown: points.length },
    legend: series.map(({ name }, i) => ({ name, colour: seriesColour(i), mark: "●" })),
    hidden: series.reduce((count, one) => count + one.points.length, 0) - points.length,
  });
  const place: Place = ([x, y]) => [plot.x(x), plot.y(y)];
  return plot.chart(
    describe(series, xLabel, yLabel),
    series.map((one, i) => drawSeries(one, seriesColour(i), drawable, place)),
  );
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
          .map((point) => place(point).join(" "))
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
  return `<circle cx="${x}" cy="${y}" r="${radius}" fill="${fill}"/>`;
}

function describe(series: readonly LineSeries[], xLabel: string, yLabel: string): string {
  const ends = series.map(({ name, points }) => {
    const last = points.at(-1);
    return last ? `${name} ends at ${last[1]} (${xLabel} ${last[0]})` : `${name} has no points`;
  });
  return `${yLabel} over ${xLabel}. ${ends.join("; ")}`;
}
