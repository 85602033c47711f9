/** How a learned search decided which layers to keep, step by step (as in figure 6 of the TinyFusion paper). */

import type { YAXisComponentOption } from "echarts";
import { sumOf } from "../array/reduce.ts";
import { colour, drawChart, type Segment, segmentSeries, seriesColour } from "./chart.ts";
import { valueAxis } from "./chart-axis.ts";

/** The state of the search at one logged step. */
export interface DecisionStep {
  readonly step: number;
  /** Probability in [0, 1] that each layer is kept. [depth] */
  readonly probabilities: readonly number[];
  /** The layers that would be kept if the search ended here. */
  readonly kept: readonly number[];
}

/** What a decision chart shows. */
export interface DecisionChart {
  readonly title: string;
  /** Number of layers in each group, in layer order; lines separate groups. */
  readonly groupSizes: readonly number[];
  /** Ascending in step; the last one is the final decision. */
  readonly steps: readonly DecisionStep[];
  readonly xLabel?: string;
}

const MOST_COLUMNS = 96;

/**
 * Draws the chart as SVG: a row for each layer, layer 0 on top, darker the surer the layer is kept; a line where it belongs
 * to the current decision; the kept layers of the end named on the right.
 */
export function decisionChart({ title, groupSizes, steps, xLabel = "step" }: DecisionChart): string {
  const depth = sumOf(groupSizes);
  const rowHeight = depth <= 16 ? 26 : 20;
  const groupStarts = groupSizes.map((_, i) => sumOf(groupSizes.slice(0, i)));
  const kept = steps.at(-1)?.kept ?? [];
  const [accent, opacity] = [seriesColour(0), 0.85];
  const rounded = ({ probabilities }: DecisionStep, layer: number) => Math.round(20 * clamp(probabilities[layer])) / 20;
  const shades = runsOf(steps, depth, rounded).map(({ value, ...run }) => {
    const tip = `layer ${run.from[1]}, ${xLabel} ${run.from[0]} to ${run.to[0]}: kept with probability ${value}`;
    return { ...run, tip, stroke: accent, width: rowHeight - 4, opacity: opacity * value };
  });
  const decided = runsOf(steps, depth, (step, layer) => (step.kept.includes(layer) ? 1 : 0))
    .filter(({ value }) => value > 0)
    .map(({ from, to }) => ({ from, to, stroke: colour.ink, width: 2 }));
  const [probability, decision] = ["probability that the layer is kept", "current decision"];
  const layers = (name: string, isShown: (layer: number) => boolean): YAXisComponentOption => ({
    type: "category",
    inverse: true,
    data: Array.from({ length: depth }, (_, i) => ({
      value: `${i}`,
      textStyle: { color: kept.includes(i) ? colour.ink : colour.soft, fontWeight: kept.includes(i) ? 600 : 400 },
    })),
    name,
    nameLocation: "start",
    nameGap: 8,
    nameTextStyle: { color: colour.soft, fontSize: 12.5 },
    axisLine: { show: false },
    axisTick: { show: false },
    axisLabel: { interval: 0, fontSize: 11, formatter: (layer) => (isShown(Number(layer)) ? layer : "") },
    splitLine: { show: true, interval: (i) => groupStarts.includes(i), lineStyle: { color: colour.rule } },
  });
  const { axisLabel, ...axis } = { ...valueAxis({ name: xLabel }), splitLine: { show: false } };
  return drawChart({
    title,
    subtitle: "",
    description: `Of ${depth} layers, ${kept.length} are kept at the end: ${kept.join(", ")}`,
    height: rowHeight * depth,
    above: 18,
    legend: [
      { name: probability, icon: "rect" },
      { name: decision, icon: "path://M0 5H12V7H0Z" },
    ],
    isEmpty: steps.length === 0,
    xAxis: {
      ...axis,
      min: "dataMin",
      max: "dataMax",
      axisLabel: { ...axisLabel, showMinLabel: false, showMaxLabel: false },
    },
    yAxis: [layers("layer", () => true), { ...layers("kept", (layer) => kept.includes(layer)), position: "right" }],
    series: [segmentSeries(shades, probability), segmentSeries(decided, decision)],
  });
}

/** For each layer the stretches of steps over which its value is the same; of a long search evenly chosen steps. */
function runsOf(
  all: readonly DecisionStep[],
  depth: number,
  read: (step: DecisionStep, layer: number) => number,
): (Pick<Segment, "from" | "to"> & { readonly value: number })[] {
  const stride = Math.max(1, (all.length - 1) / (MOST_COLUMNS - 1));
  const steps = Array.from({ length: Math.min(all.length, MOST_COLUMNS) }, (_, i) => all[Math.round(i * stride)]!);
  const last = steps.at(-1)?.step ?? 0;
  const end = last + Math.max(last - (steps.at(-2)?.step ?? last - 1), 1e-9); // as wide as the one before
  return Array.from({ length: depth }, (_, layer) => {
    const values = steps.map((step) => read(step, layer));
    const starts = values.flatMap((value, i) => (value === values[i - 1] ? [] : i));
    return starts.map((i, run) => ({
      from: [steps[i]!.step, layer] as const,
      to: [steps[starts[run + 1] ?? steps.length]?.step ?? end, layer] as const,
      value: values[i]!,
    }));
  }).flat();
}

/** Into [0, 1]; NaN, or none, counts as 0. */
const clamp = (probability = 0): number => (probability > 0 ? Math.min(probability, 1) : 0);
