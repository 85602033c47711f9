/** What all charts share: an option of ECharts becomes SVG text in the colours of the page, with a tooltip for each value. */
import { createRequire } from "node:module";
import type { CustomSeriesOption, EChartsOption, SeriesOption } from "echarts";
import { escapeHtml } from "./page-style.ts";

// The CommonJS build is one file and loads five times as fast as the 400 modules; only a command that draws charts loads it.
const loadECharts = () => createRequire(import.meta.url)("echarts") as typeof import("echarts");

/** Units across a chart; charts scale with the page. */
export const CHART_WIDTH = 640;
const FONT_SIZE = 12.5;

/** Colours by role: variables of the page, with the light theme for an SVG file of its own. */
export const colour = {
  ink: "var(--ink,#23221f)",
  soft: "var(--soft,#6b6861)",
  rule: "var(--rule,#e4e0d7)",
  track: "var(--track,#f2efe8)",
  muted: "var(--muted,#c2bdb2)",
  paper: "var(--paper,#fcfbf8)",
} as const;
const seriesColours = ["#2f5d8a", "#bf5b2c", "#4d7d3d", "#84569a", "#a3801b", "#2f8585", "#a8446a", "#6b6861"];

/** The colour of the series with this index; after eight they repeat. */
export const seriesColour = (index: number): string => `var(--c${index % 8},${seriesColours[index % 8]})`;

/** What a chart shows. */
export interface ChartFrame {
  readonly title: string;
  /** Below the title: what the values are, with their unit. */
  readonly subtitle: string;
  /** The content in words, for screen readers. */
  readonly description: string;
  /** Units of the plot; above it, for text there; below it, for the axis. */
  readonly height: number;
  readonly above?: number;
  readonly below?: number;
  readonly legend?: readonly { readonly name: string; readonly icon: string }[];
  readonly isEmpty: boolean;
  readonly xAxis: EChartsOption["xAxis"];
  readonly yAxis: EChartsOption["yAxis"];
  /** An item of data whose `name` is set shows it as a tooltip. */
  readonly series: readonly SeriesOption[];
}

/** Draws the chart as an `<svg>` element for a page, or for a file of its own. */
export function drawChart(frame: ChartFrame): string {
  const echarts = loadECharts();
  // Room for the widest of usual fonts: which one draws the text is not known here, and the layout is the same everywhere.
  echarts.setPlatformAPI({ measureText: (text, font) => ({ width: text.length * 0.62 * fontSizeIn(font) }) });
  const { height: plotHeight, above = 0, below = 46, legend = [], isEmpty, xAxis, yAxis, series } = frame;
  const [title, subtitle] = [wrapped(frame.title, 70), wrapped(frame.subtitle, 85)];
  const legendTop = 8 + 20 * lineCount(title) + 20 * lineCount(subtitle);
  const top = legendTop + 24 * legendRows(legend.map(({ name }) => name)) + above + 12;
  const height = top + plotHeight + below;
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: CHART_WIDTH, height });
  const soft = { color: colour.soft, fontSize: FONT_SIZE };
  chart.setOption({
    animation: false,
    textStyle: { fontFamily: "sans-serif", fontSize: FONT_SIZE, color: colour.ink },
    title: {
      text: title,
      subtext: subtitle,
      left: 0,
      top: 0,
      padding: 0,
      itemGap: 6,
      textStyle: { fontSize: 14.5, lineHeight: 20, fontWeight: 600, color: colour.ink },
      subtextStyle: { ...soft, lineHeight: 20 },
    },
    legend: {
      data: [...legend],
      left: 0,
      top: legendTop,
      padding: 0,
      itemGap: 16,
      itemWidth: 12,
      itemHeight: 12,
      textStyle: soft,
    },
    grid: { left: 0, right: 16, top, height: plotHeight, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    graphic: isEmpty
      ? { type: "text", left: "center", top: top + 40, style: { text: "no data", fill: colour.soft } }
      : [],
    xAxis,
    yAxis,
    series: [...series],
  });
  const svg = chart.renderToSVGString({ useViewBox: true });
  chart.dispose();
  return finished(svg, frame, height);
}

/** ECharts' text with our root element, tooltips in place of marks for a script, and names that are the same each time. */
function finished(svg: string, { title, description, series }: ChartFrame, height: number): string {
  const marks = /ecmeta_series_index="(\d+)" ecmeta_data_index="(\d+)" ecmeta_ssr_type="chart"/;
  const tip = (attributes: string): string => {
    const [, s, d] = marks.exec(attributes)?.map(Number) ?? [];
    const item = s === undefined ? undefined : (series[s]!.data as readonly { readonly name?: string }[])[d!];
    return item?.name ? `<title>${escapeHtml(item.name)}</title>` : "";
  };
  const id = `chart-${title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}`;
  const body = svg
    .replace(/^<svg[^>]*>/, "")
    .replace(/<style[\s\S]*?<\/style>/, "")
    .replaceAll(/<path[^>]* stroke-width="0"[^>]*><\/path>|\n/g, "") // boxes around title and legend
    .replaceAll(/<path([^>]*)>(?=<\/path>)/g, (start, attributes) => start + tip(attributes))
    .replaceAll(/ (ecmeta_\w+|class|xml:space|pointer-events)="[^"]*"/g, "")
    .replaceAll("font-family:sans-serif;", "")
    .replaceAll(/zr\d+-/g, `${id}-`);
  return (
    `<svg class="chart" role="img" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${CHART_WIDTH} ${height}" ` +
    `font-family="system-ui,sans-serif"><title>${escapeHtml(title)}</title><desc>${escapeHtml(description)}</desc>${body}`
  );
}

const wrapped = (text: string, most: number): string =>
  text.replaceAll(new RegExp(`(?=.{${most + 1}})(.{1,${most}})\\s+`, "g"), "$1\n");
const lineCount = (text: string): number => (text === "" ? 0 : text.split("\n").length);
const fontSizeIn = (font = ""): number => Number(/([\d.]+)px/.exec(font)?.[1] ?? FONT_SIZE);

/** Rows that a legend of these names takes. */
function legendRows(names: readonly string[]): number {
  let [rows, used] = [0, CHART_WIDTH];
  for (const name of names) {
    const width = 17 + name.length * 0.62 * FONT_SIZE;
    if (used + width > CHART_WIDTH) [rows, used] = [rows + 1, 0];
    used += width + 16;
  }
  return rows;
}

type Values = readonly [x: number, y: number];

/** A straight line between two places in the plot. */
export interface Segment {
  readonly from: Values;
  readonly to: Values;
  readonly stroke: string;
  readonly width?: number;
  readonly opacity?: number;
  readonly dash?: number[];
  readonly tip?: string;
}

/** Straight lines: whiskers, marks, and bars that are lines of some width. */
export const segmentSeries = (segments: readonly Segment[], name = ""): CustomSeriesOption => ({
  type: "custom",
  name,
  color: segments[0]?.stroke ?? colour.ink,
  clip: true,
  z: 3,
  encode: { x: [0, 2], y: [1, 3] },
  data: segments.map(({ from, to, tip = "" }) => ({ value: [...from, ...to], name: tip })),
  renderItem: ({ dataIndex }, api) => {
    const { from, to, stroke, width = 1.25, opacity = 1, dash = false } = segments[dataIndex]!;
    const [[x1, y1], [x2, y2]] = [api.coord([...from]), api.coord([...to])] as [[number, number], [number, number]];
    return { type: "line", shape: { x1, y1, x2, y2 }, style: { stroke, lineWidth: width, opacity, lineDash: dash } };
  },
});

/** A stretch of the x axis that shows a text wherever it is pointed at. */
export interface Band {
  readonly from: number;
  readonly to: number;
  readonly tip: string;
}

/** Invisible bands over the whole height of the plot. */
export const bandSeries = (bands: readonly Band[]): CustomSeriesOption => ({
  type: "custom",
  z: 9,
  encode: { x: [0, 1] },
  data: bands.map(({ from, to, tip }) => ({ value: [from, to], name: tip })),
  renderItem: ({ coordSys }, api) => {
    const { y, height } = coordSys as unknown as { y: number; height: number };
    const [left, right] = [0, 1].map((i) => api.coord([api.value(i), 1])[0]!) as [number, number];
    return { type: "rect", shape: { x: left, y, width: right - left, height }, style: { opacity: 0 } };
  },
});
