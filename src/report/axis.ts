/** Axes of charts: where a value stands between 0 and 1, which round values get a tick, and how they are written. */

/** A labelled value on an axis. */
export interface Tick {
  readonly value: number;
  readonly label: string;
}

/** A mapping of values onto [0, 1], with ticks in that range. */
export interface Axis {
  readonly ticks: readonly Tick[];
  /** 0 at the low end, 1 at the high end; outside for values outside. */
  position(value: number): number;
}

/**
 * An axis over the finite ones of `values`. With `snug` it ends at the data, otherwise at the next tick; one value, or
 * none, still gives a range around it.
 */
export function linearAxis(values: Iterable<number>, { count = 5, snug = false } = {}): Axis {
  const [low, high] = widened(extent(values, () => true) ?? [0, 1]);
  const step = roundStep((high - low) / count);
  const first = (snug ? Math.ceil : Math.floor)(tidy(low / step));
  const last = (snug ? Math.floor : Math.ceil)(tidy(high / step));
  const [from, to] = snug ? [low, high] : [first * step, last * step];
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => tidy((first + i) * step));
  const largest = Math.max(Math.abs(ticks[0] ?? 0), Math.abs(ticks.at(-1) ?? 0));
  return {
    ticks: ticks.map((value) => ({ value, label: formatNumber(value, step, largest) })),
    position: (value) => (value - from) / (to - from),
  };
}

/** An axis of powers of ten over the positive, finite ones of `values`; ticks at 1, 2, 5 where fewer than three decades show. */
export function logAxis(values: Iterable<number>): Axis {
  const [low, high] = extent(values, (value) => value > 0) ?? [1, 10];
  const decades = Math.log10(high) - Math.log10(low);
  const mantissas = decades < 3 ? [1, 2, 5] : [1];
  const all: number[] = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.ceil(Math.log10(high)) + 1; power++) {
    for (const mantissa of mantissas) all.push(Number(`${mantissa}e${power}`));
  }
  const from = all.findLastIndex((tick) => tick <= low * (1 + 1e-12));
  const to = Math.max(
    from + 1,
    all.findIndex((tick) => tick >= high * (1 - 1e-12)),
  );
  const stride = Math.ceil((to - from) / 8);
  const [bottom, top] = [Math.log(all[from]!), Math.log(all[to]!)];
  return {
    ticks: all
      .slice(from, to + 1)
      .filter((_, i) => i % stride === 0)
      .map((value) => ({ value, label: formatNumber(value, value) })),
    position: (value) => (Math.log(value) - bottom) / (top - bottom),
  };
}

/**
 * A number for people, as precise as `step`: 0.25, 15k, 20M, 2·10⁻⁴; "–" for one that is not finite. The unit fits
 * `largest`, so that numbers beside each other can share one.
 */
export function formatNumber(value: number, step: number, largest = Math.abs(value)): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.max(largest, Math.abs(step));
  if (size < 1e-3 || size >= 1e12) return inPowersOfTen(value, step);
  const [unit, suffix] = size >= 1e9 ? [1e9, "G"] : size >= 1e6 ? [1e6, "M"] : size >= 1e4 ? [1e3, "k"] : [1, ""];
  return withMinus((value / unit).toFixed(decimals(step / unit)) + suffix);
}

function inPowersOfTen(value: number, step: number): string {
  const power = Math.floor(Math.log10(Math.abs(value)) + 1e-12);
  const mantissa = (value / 10 ** power).toFixed(decimals(step / 10 ** power));
  const raised = [...`${power}`].map((digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)])).join("");
  return withMinus(mantissa === "1" ? `10${raised}` : `${mantissa}·10${raised}`);
}

function withMinus(text: string): string {
  return text.replace("-", "−");
}

function decimals(step: number): number {
  return Math.min(Math.max(0, -Math.floor(Math.log10(Math.abs(step)) + 1e-9)), 8);
}

/** 1, 2 or 5 times a power of ten, at or above `rough`. */
function roundStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const mantissa = [1, 2, 5, 10].find((candidate) => candidate * power >= rough * (1 - 1e-9)) ?? 10;
  return mantissa * power;
}

function tidy(value: number): number {
  return Number(value.toPrecision(12));
}

function extent(values: Iterable<number>, fits: (value: number) => boolean): [number, number] | undefined {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (!Number.isFinite(value) || !fits(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : undefined;
}

/** A range that is not a point, so that one value stands in the middle. */
function widened([low, high]: [number, number]): [number, number] {
  const least = Math.max(Math.abs(low), Math.abs(high)) * 1e-9;
  if (high - low > least) return [low, high];
  const room = low === 0 ? 1 : Math.abs(low) / 10;
  return [low - room, high + room];
}
