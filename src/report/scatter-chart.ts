/** A chart of points, coloured by series, with how sure both values are; those that are marked are named. */
import type { CustomSeriesOption, ScatterSeriesOption } from "echarts";
import { CHART_WIDTH, colour, drawChart, type Segment, segmentSeries, seriesColour } from "./chart.ts";
import { logTicks, valueAxis } from "./chart-axis.ts";
import { BESIDE, boxAround, boxesAlong, nearestIn, placeLabels } from "./label-places.ts";

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

/** What a scatter chart shows. */
export interface ScatterChart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly { readonly name: string; readonly points: readonly ScatterPoint[] }[];
  /** What the line through marked points is; without a name there is none. */
  readonly lineName?: string;
  /** Logarithmic axes; values at or below 0 are not drawn on them. */
  readonly logX?: boolean;
  readonly logY?: boolean;
}

/** Draws the chart as SVG; a point that is not finite, or not positive on a logarithmic axis, is counted below it. */
export function scatterChart(chart: ScatterChart): string {
  const { title, xLabel, yLabel, series, lineName, logX = false, logY = false } = chart;
  const fits = (value: number, isLog: boolean) => Number.isFinite(value) && (!isLog || value > 0);
  const shown = series.map(({ points }) => points.filter(({ x, y }) => fits(x, logX) && fits(y, logY)));
  const points = shown.flat();
  const hidden = series.reduce((count, one) => count + one.points.length, -points.length);
  const marked = points.filter(({ isMarked }) => isMarked).toSorted((a, b) => a.x - b.x);
  const line = (lineName === undefined ? [] : marked).slice(1).map((to, i) => segment(marked[i]!, to, colour.soft));
  const ends = shown.flatMap((some, i) => some.flatMap((point) => whiskersOf(point, seriesColour(i))));
  const xs = [...points.map(({ x }) => x), ...ends.flatMap(({ from, to }) => [from[0], to[0]])];
  const ys = [...points.map(({ y }) => y), ...ends.flatMap(({ from, to }) => [from[1], to[1]])];
  // A whisker may reach to where a logarithm has no place: it ends at the edge.
  const [leastX, leastY] = [logX ? logTicks(xs)[0]! : -Infinity, logY ? logTicks(ys)[0]! : -Infinity];
  const whiskers = ends.map((one): Segment => {
    const [[x1, y1], [x2, y2]] = [one.from, one.to];
    return { ...one, from: [Math.max(x1, leastX), Math.max(y1, leastY)], to: [x2, y2] };
  });
  return drawChart({
    title,
    subtitle: yLabel,
    description: describe(chart, marked),
    height: 330,
    legend: [
      ...series.map(({ name }) => ({ name, icon: "circle" })),
      ...(lineName === undefined ? [] : [{ name: lineName, icon: "path://M0 5H5V7H0ZM7 5H12V7H7Z" }]),
    ],
    isEmpty: points.length === 0,
    xAxis: valueAxis({
      name: hidden > 0 ? `${xLabel} (${hidden} not drawable)` : xLabel,
      logOf: logX ? xs : undefined,
    }),
    yAxis: valueAxis({ logOf: logY ? ys : undefined }),
    series: [
      segmentSeries(line, lineName),
      segmentSeries(whiskers),
      ...shown.map((some, i) => pointSeries(series[i]!.name, some, seriesColour(i))),
      labelSeries(marked, points, [...line, ...whiskers]),
    ],
  });
}

const segment = (from: ScatterPoint, to: ScatterPoint, stroke: string): Segment => ({
  from: [from.x, from.y],
  to: [to.x, to.y],
  stroke,
  dash: [5, 4],
});

/** The lines that say how sure a point is: of y upright, of x across. */
function whiskersOf({ x, y, error = 0, range: [low, high] = [x, x] }: ScatterPoint, stroke: string): Segment[] {
  const all: Segment[] = [
    { from: [x, y - Math.abs(error)], to: [x, y + Math.abs(error)], stroke },
    { from: [low, y], to: [high, y], stroke },
  ];
  const length = ({ from, to }: Segment) => to[0] - from[0] + to[1] - from[1];
  return all.filter((one) => length(one) > 0 && Number.isFinite(length(one)));
}

/** Points of one series: those that are marked are filled and cover the others. */
function pointSeries(name: string, points: readonly ScatterPoint[], color: string): ScatterSeriesOption {
  const data = [...points.filter(({ isMarked }) => !isMarked), ...points.filter(({ isMarked }) => isMarked)];
  return {
    type: "scatter",
    name,
    symbolSize: 9,
    z: 4,
    itemStyle: { color, borderColor: color, borderWidth: 1.75, opacity: 1 },
    data: data.map(({ x, y, label, isMarked }) => ({
      value: [x, y],
      name: label,
      itemStyle: { color: isMarked ? color : colour.paper },
    })),
  };
}

const FONT_SIZE = 11.5;

/** Names of marked points, on no point, line or other name; further away where points stand close. */
function labelSeries(
  marked: readonly ScatterPoint[],
  points: readonly ScatterPoint[],
  segments: readonly Segment[],
): CustomSeriesOption {
  let places: ReturnType<typeof placeLabels> | undefined;
  const textOf = ({ label, shortLabel = label }: ScatterPoint) => shortLabel;
  return {
    type: "custom",
    silent: true,
    z: 5,
    data: marked.map(({ x, y }) => [x, y]),
    renderItem: ({ dataIndex, coordSys }, api) => {
      const at = (values: readonly number[]) => api.coord([...values]) as [number, number];
      const plot = coordSys as unknown as { x: number; y: number; height: number };
      places ??= placeLabels(
        marked.map((point) => {
          const [x, y] = at([point.x, point.y]);
          return { x, y, width: textOf(point).length * 0.58 * FONT_SIZE, height: 1.3 * FONT_SIZE };
        }),
        [
          ...points.map(({ x, y }) => boxAround(at([x, y]), 6)),
          ...segments.flatMap(({ from, to }) => boxesAlong(at(from), at(to))),
        ],
        { left: plot.x + 2, right: CHART_WIDTH, top: plot.y - 8, bottom: plot.y + plot.height - 2 },
      );
      const place = places[dataIndex];
      if (place === undefined) return null;
      const { left, right, top, bottom } = place.box;
      const [x1, y1] = at([marked[dataIndex]!.x, marked[dataIndex]!.y]);
      const [x2, y2] = nearestIn(place.box, x1, y1);
      const leader = {
        type: "line",
        shape: { x1, y1, x2, y2 },
        style: { stroke: colour.soft, lineWidth: 0.75 },
      } as const;
      // Fonts differ in width: the end that is near the point is the one that fits.
      const align = right <= x1 ? "right" : left >= x1 ? "left" : "center";
      const x = align === "right" ? right : align === "left" ? left : (left + right) / 2;
      const text = { text: textOf(marked[dataIndex]!), x, y: (top + bottom) / 2, align, fill: colour.ink } as const;
      const label = { type: "text", style: { ...text, verticalAlign: "middle", fontSize: FONT_SIZE } } as const;
      return { type: "group", children: place.distance > BESIDE ? [leader, label] : [label] };
    },
  };
}

function describe({ xLabel, yLabel, series, lineName }: ScatterChart, marked: readonly ScatterPoint[]): string {
  const counts = series.map(({ name, points }) => `${name}: ${points.length} points`).join("; ");
  const named = marked.map(({ x, y, label }) => `${label} (${x.toPrecision(3)}, ${y.toPrecision(4)})`).join("; ");
  return `${yLabel} over ${xLabel}. ${counts}. ${lineName ?? "marked"}: ${named || "none"}`;
}
