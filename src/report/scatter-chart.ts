/** A chart of points as SVG, coloured by series, with how sure both values are; those that are marked are named. */
import { linearAxis, logAxis } from "./axis.ts";
import { chartWidth, colour, round, seriesColour, textAt } from "./chart-frame.ts";
import { escapeHtml } from "./escape.ts";
import { type Box, labelSize, placeLabels, type Segment } from "./label-places.ts";
import { plotIn } from "./plot-frame.ts";

export interface ScatterPoint {
  readonly x: number;
  readonly y: number;
  /** Standard error of y, drawn as a whisker of one to each side. */
  readonly error?: number;
  /** Least and most of what x is the middle of, drawn as a whisker. */
  readonly range?: readonly [number, number];
  /** Shown when the point is pointed at. */
  readonly label: string;
  /** Shown beside it if it is marked; the label where there is none. */
  readonly shortLabel?: string;
  /** Filled, and part of the line; the others are rings. */
  readonly isMarked?: boolean;
}

export interface ScatterSeries {
  readonly name: string;
  readonly points: readonly ScatterPoint[];
}

/** What a scatter chart shows. */
export interface ScatterChart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly ScatterSeries[];
  /** What the line through marked points is; without a name there is none. */
  readonly lineName?: string;
  /** Logarithmic axes; values at or below 0 are not drawn on them. */
  readonly logX?: boolean;
  readonly logY?: boolean;
}

/** Where a value stands on the page. */
interface Scale {
  x(value: number): number;
  y(value: number): number;
}

const plotHeight = 330;

/** Draws the chart; a point that is not finite, or not positive on a logarithmic axis, is counted below it. */
export function scatterChart(chart: ScatterChart): string {
  const { title, xLabel, yLabel, series, lineName, logX = false, logY = false } = chart;
  const fits = (value: number, isLog: boolean) => Number.isFinite(value) && (!isLog || value > 0);
  const drawable = ({ x, y }: ScatterPoint) => fits(x, logX) && fits(y, logY);
  const shown = series.map(({ points }) => points.filter(drawable));
  const points = shown.flat();
  const xs = points.flatMap((point) => [point.x, ...rangeOf(point)]);
  const xAxis = logX ? logAxis(xs) : linearAxis(xs);
  const ys = points.flatMap((point) => [point.y, point.y - errorOf(point), point.y + errorOf(point)]);
  const yAxis = logY ? logAxis(ys) : linearAxis(ys);
  const names = series.map(({ name }, i) => ({ name, colour: seriesColour(i), mark: "●" }));
  const plot = plotIn({
    ...{ title, xLabel, yLabel, xAxis, yAxis, height: plotHeight, shown: points.length },
    legend: lineName === undefined ? names : [...names, { name: lineName, colour: colour.soft, mark: "╌" }],
    hidden: series.reduce((count, one) => count + one.points.length, 0) - points.length,
  });
  const { box } = plot;
  const scale: Scale = {
    // A whisker may reach to where a logarithm has no place: it ends at the edge.
    x: (value) => (logX && value <= 0 ? box.left : plot.x(value)),
    y: (value) => (logY && value <= 0 ? box.bottom : Math.min(box.bottom, Math.max(box.top, plot.y(value)))),
  };
  const marked = points.filter(({ isMarked }) => isMarked).toSorted((a, b) => a.x - b.x);
  const joined = lineName === undefined ? [] : marked;
  return plot.chart(describe(chart, marked), [
    markedLine(joined, scale),
    ...drawn(shown, false, scale),
    ...drawn(shown, true, scale), // marked ones cover the others
    ...labels(marked, joined, points, { ...scale, box }),
  ]);
}

/** The error as drawn: 0 if there is none, or none that is finite. */
const errorOf = ({ error = 0 }: ScatterPoint): number => (Number.isFinite(error) ? Math.abs(error) : 0);

/** The range as drawn: the point alone if there is none, or none that is finite. */
const rangeOf = ({ x, range }: ScatterPoint): readonly [number, number] =>
  range?.every(Number.isFinite) ? range : [x, x];

function markedLine(marked: readonly ScatterPoint[], { x, y }: Scale): string {
  if (marked.length < 2) return "";
  const path = marked.map((point) => `${x(point.x)} ${y(point.y)}`).join("L");
  return `<path d="M${path}" fill="none" stroke="${colour.soft}" stroke-width="1.25" stroke-dasharray="5 4"/>`;
}

const drawn = (shown: readonly (readonly ScatterPoint[])[], marked: boolean, scale: Scale): string[] =>
  shown.flatMap((some, i) =>
    some.filter(({ isMarked = false }) => isMarked === marked).map((point) => drawPoint(point, seriesColour(i), scale)),
  );

/** The lines that say how sure a point is: of y upright, of x across. */
function whiskers(point: ScatterPoint, { x, y }: Scale): Segment[] {
  const [cx, cy, error] = [x(point.x), y(point.y), errorOf(point)];
  const [least, most] = rangeOf(point);
  const upright = { x1: cx, x2: cx, y1: y(point.y - error), y2: y(point.y + error) };
  return [...(error > 0 ? [upright] : []), ...(least < most ? [{ x1: x(least), x2: x(most), y1: cy, y2: cy }] : [])];
}

function drawPoint(point: ScatterPoint, stroke: string, scale: Scale): string {
  const lines = whiskers(point, scale).map(
    ({ x1, y1, x2, y2 }) => `<path d="M${x1} ${y1}${x1 === x2 ? `V${y2}` : `H${x2}`}" stroke="${stroke}"/>`,
  );
  const fill = point.isMarked ? stroke : "var(--paper,#fcfbf8)";
  const tip = `<title>${escapeHtml(point.label)}</title>`;
  const centre = `cx="${scale.x(point.x)}" cy="${scale.y(point.y)}"`;
  return `${lines.join("")}<circle ${centre} r="4.5" fill="${fill}" stroke="${stroke}" stroke-width="1.75">${tip}</circle>`;
}

/** Labels of marked points, on no point, whisker, line or other label; further away where points stand close. */
function labels(
  marked: readonly ScatterPoint[],
  joined: readonly ScatterPoint[],
  points: readonly ScatterPoint[],
  scale: Scale & { readonly box: Box },
): string[] {
  const { x, y, box: plot } = scale;
  const wanted = marked.map((point) => ({ x: x(point.x), y: y(point.y), text: point.shortLabel ?? point.label }));
  const line = joined.slice(1).map((to, i) => {
    const from = joined[i]!;
    return { x1: x(from.x), y1: y(from.y), x2: x(to.x), y2: y(to.y) };
  });
  const drawn = {
    boxes: points.map((point) => around(x(point.x), y(point.y), 6)),
    segments: [...line, ...points.flatMap((point) => whiskers(point, scale))],
  };
  const within = { left: plot.left + 2, right: chartWidth, top: plot.top - 8, bottom: plot.bottom - 2 };
  return placeLabels(wanted, drawn, within).map((placed) => {
    if (placed === undefined) return "";
    const { at, leader, text } = placed;
    const attributes = `font-size="${labelSize}em" text-anchor="${at.anchor}" dominant-baseline="central"`;
    const lead = leader && `M${leader.x1} ${leader.y1}L${round(leader.x2)} ${round(leader.y2)}`;
    return (
      (lead ? `<path d="${lead}" stroke="${colour.soft}" stroke-width="0.75"/>` : "") +
      textAt(at.x, at.y, text, attributes)
    );
  });
}

const around = (x: number, y: number, r: number): Box => ({ left: x - r, right: x + r, top: y - r, bottom: y + r });

function describe({ xLabel, yLabel, series, lineName }: ScatterChart, marked: readonly ScatterPoint[]): string {
  const counts = series.map(({ name, points }) => `${name}: ${points.length} points`).join("; ");
  const ends = marked.map(({ x, y, label }) => `${label} (${x.toPrecision(3)}, ${y.toPrecision(4)})`).join("; ");
  return `${yLabel} over ${xLabel}. ${counts}. ${lineName ?? "marked"}: ${ends || "none"}`;
}
