/** A chart of horizontal bars as SVG: a few named values to compare, with standard errors where they are known. */
import { formatNumber, linearAxis } from "./axis.ts";
import { belowTitle, chartFrame, chartWidth, colour, fitted, round, textAt, textWidth } from "./chart-frame.ts";

/** One bar. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  /** Standard error, drawn as a whisker of one to each side. */
  readonly error?: number;
  /** Drawn in the accent colour, the others in grey; if no bar is marked, all are. */
  readonly isMarked?: boolean;
}

/** What a bar chart shows; bars stand in the order given. */
export interface BarChart {
  readonly title: string;
  /** What the values are, with their unit. */
  readonly xLabel: string;
  readonly bars: readonly Bar[];
}

const rowHeight = 56;
const barHeight = 14;
/** How much wider bold text is. */
const boldness = 1.25;

/** Draws the chart: each bar under its label, its value at its end. */
export function barChart({ title, xLabel, bars }: BarChart): string {
  const { position } = linearAxis([0, ...bars.flatMap((bar) => [bar.value - errorOf(bar), bar.value + errorOf(bar)])], {
    snug: true,
  });
  const step = sharedStep(bars);
  const values = bars.map((bar) => valueText(bar, step));
  const room = Math.max(0, ...values.map(textWidth)) * boldness + 16;
  const hasNegative = bars.some(({ value }) => value < 0);
  const from = hasNegative ? room : 0;
  const x = (value: number) => round(from + position(value) * (chartWidth - room - from));
  const top = belowTitle(title) + 40;
  const someMarked = bars.some(({ isMarked }) => isMarked);
  const rows = bars.map((bar, i) => {
    const fill = someMarked && !bar.isMarked ? "var(--muted,#c2bdb2)" : colour.accent;
    const y = top + i * rowHeight + 28;
    const zero = hasNegative ? `<path d="M${x(0)} ${y - 4}v${barHeight + 8}" stroke="${colour.soft}"/>` : "";
    return textAt(0, y - 8, fitted(bar.label)) + drawBar(bar, values[i]!, y, x, fill) + zero;
  });
  const height = top + Math.max(bars.length, 1) * rowHeight;
  const empty = textAt(chartWidth / 2, top + 30, "no data", `fill="${colour.soft}" text-anchor="middle"`);
  const body = textAt(0, top - 20, xLabel, `fill="${colour.soft}"`) + rows.join("") + (bars.length > 0 ? "" : empty);
  const description = bars.map(({ label }, i) => `${label}: ${values[i]}`).join("; ");
  return chartFrame(title, `${xLabel}. ${description}`, height, body);
}

function drawBar(bar: Bar, text: string, y: number, x: (value: number) => number, fill: string): string {
  const { value } = bar;
  const middle = y + barHeight / 2;
  if (!Number.isFinite(value)) {
    return textAt(0, middle, text, `fill="${colour.soft}" font-style="italic" dominant-baseline="central"`);
  }
  const [start, end] = [x(Math.min(value, 0)), x(Math.max(value, 0))];
  const [low, high] = [x(value - errorOf(bar)), x(value + errorOf(bar))];
  const whisker =
    `<path d="M${low} ${middle}H${high}M${low} ${y + 3}v${barHeight - 6}M${high} ${y + 3}v${barHeight - 6}" ` +
    `fill="none" stroke="${colour.ink}" stroke-width="1.25"/>`;
  const strong = `font-weight="600" dominant-baseline="central"`;
  return (
    `<rect x="${start}" y="${y}" width="${round(end - start)}" height="${barHeight}" fill="${fill}"/>` +
    (errorOf(bar) > 0 ? whisker : "") +
    (value < 0 ? textAt(low - 8, middle, text, `${strong} text-anchor="end"`) : textAt(high + 8, middle, text, strong))
  );
}

/** The error as drawn: 0 if there is none, or none that is finite. */
function errorOf({ error = 0 }: Bar): number {
  return Number.isFinite(error) ? Math.abs(error) : 0;
}

/** The last digit to show: two digits of the largest error, or three of the largest value and two of the smallest. */
function sharedStep(bars: readonly Bar[]): number {
  const sizes = (of: readonly number[]) => of.map(Math.abs).filter((one) => one > 0 && Number.isFinite(one));
  const digits = (of: number, count: number) => 10 ** (Math.floor(Math.log10(of) + 1e-12) - count + 1);
  const errors = sizes(bars.map(errorOf));
  if (errors.length > 0) return digits(Math.max(...errors), 2);
  const values = sizes(bars.map(({ value }) => value));
  return values.length > 0 ? Math.min(digits(Math.max(...values), 3), digits(Math.min(...values), 2)) : 1;
}

function valueText(bar: Bar, step: number): string {
  if (!Number.isFinite(bar.value)) return "not a number";
  const text = formatNumber(bar.value, step);
  return errorOf(bar) > 0 ? `${text} ± ${formatNumber(errorOf(bar), step)}` : text;
}
