/** Axes of charts: round values, written for people. */
import type { XAXisComponentOption } from "echarts";
import { colour } from "./chart.ts";

const text = { color: colour.soft, fontSize: 12.5 };

type ValueAxis = Extract<XAXisComponentOption, { type?: "value" | "log" }>;

export interface AxisRequest {
  /** Written below the axis. */
  readonly name?: string;
  readonly fromZero?: boolean;
  /** Makes it a logarithmic axis, around the positive ones of these values. */
  readonly logOf?: readonly number[] | undefined;
}

/** An axis for ECharts. */
export function valueAxis({ name, fromZero = false, logOf }: AxisRequest) {
  const axis = {
    name: name ?? "",
    nameLocation: "middle",
    nameGap: 30,
    nameTextStyle: text,
    axisLine: { show: name !== undefined, onZero: false, lineStyle: { color: colour.soft } },
    axisTick: { show: false },
    axisLabel: { ...text, formatter: shortNumber },
    splitLine: { show: true, lineStyle: { color: colour.rule } },
  } as const;
  if (logOf === undefined) return { ...axis, type: "value", scale: !fromZero } satisfies ValueAxis;
  const ticks = logTicks(logOf);
  return {
    ...axis,
    type: "log",
    min: ticks[0]!,
    max: ticks.at(-1)!,
    axisTick: { show: false, customValues: ticks },
    axisLabel: { ...axis.axisLabel, customValues: ticks },
  } satisfies ValueAxis;
}

/** 1, 2 and 5 times powers of ten around the positive ones of `values`; over three decades and more only powers of ten. */
export function logTicks(values: readonly number[]): number[] {
  const positive = values.filter((value) => value > 0 && Number.isFinite(value));
  const [low, high] = positive.length > 0 ? [Math.min(...positive), Math.max(...positive)] : [1, 10];
  const mantissas = high / low < 1000 ? [1, 2, 5] : [1];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.ceil(Math.log10(high)) + 1; power++) {
    ticks.push(...mantissas.map((mantissa) => Number(`${mantissa}e${power}`)));
  }
  const first = ticks.findLastIndex((tick) => tick <= low);
  const last = ticks.findIndex((tick) => tick >= high);
  return ticks.slice(first, Math.max(last, first + 1) + 1);
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 6 });

/** A number for people: 0.25, 15K, 20M, 2·10⁻⁴. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0 || Math.abs(value) >= 1e-3) return compact.format(value).replace("-", "−");
  const [mantissa, power] = Number(value.toPrecision(6)).toExponential().split("e-") as [string, string];
  const raised = power.replaceAll(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)]!);
  return `${mantissa}·10⁻${raised}`.replace(/^1·/, "").replace("-", "−");
}
