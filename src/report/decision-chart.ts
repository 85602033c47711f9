/** How a learned search decided which layers to keep, step by step (as in figure 6 of the TinyFusion paper), as SVG. */
import { linearAxis } from "./axis.ts";
import { belowTitle, chartFrame, chartWidth, colour, legend, round, textAt } from "./chart-frame.ts";

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

const left = 52;
const right = chartWidth - 62;
const groupGap = 7;
const mostColumns = 96;

/** A stretch of steps over which a layer's value is drawn the same. */
interface Run {
  readonly from: number;
  readonly to: number;
  readonly value: number;
}

/**
 * Draws the chart: a row for each layer, layer 0 on top, darker the surer the layer is kept; a line where it belongs to
 * the current decision; the kept layers of the end named on the right.
 */
export function decisionChart({ title, groupSizes, steps, xLabel = "step" }: DecisionChart): string {
  const columns = spread(steps);
  const depth = groupSizes.reduce((sum, size) => sum + size, 0);
  const key = legend(
    [
      { name: "probability that the layer is kept", colour: colour.accent, mark: "■" },
      { name: "current decision", colour: colour.ink, mark: "━" },
    ],
    belowTitle(title),
  );
  const top = key.bottom + 46;
  const rowHeight = depth <= 16 ? 26 : 18;
  const rows = rowTops(groupSizes, top, rowHeight);
  const bottom = (rows.at(-1) ?? top) + rowHeight;
  const { position, ticks } = linearAxis(edges(columns), { snug: true });
  const x = (step: number) => left + position(step) * (right - left);
  const final = steps.at(-1)?.kept ?? [];
  const body = [
    key.svg,
    textAt(0, top - 14, "layer", `fill="${colour.soft}"`),
    textAt(right + 12, top - 14, "kept", `fill="${colour.soft}"`),
    ...rows.map((y, layer) => drawRow(layer, { y, height: rowHeight }, columns, x, final.includes(layer))),
    ...separators(groupSizes, rows),
    ...(columns.length === 0
      ? [textAt((left + right) / 2, (top + bottom) / 2, "no data", `fill="${colour.soft}" text-anchor="middle"`)]
      : ticks.map(({ value, label }) =>
          textAt(x(value), bottom + 24, label, `fill="${colour.soft}" text-anchor="middle"`),
        )),
    textAt(right, bottom + 52, xLabel, `fill="${colour.soft}" text-anchor="end"`),
  ];
  const description = `Of ${depth} layers, ${final.length} are kept at the end: ${final.join(", ")}`;
  return chartFrame(title, description, bottom + 62, body.join(""));
}

/** At most `mostColumns` of the steps, evenly chosen, the last one included. */
function spread(steps: readonly DecisionStep[]): readonly DecisionStep[] {
  if (steps.length <= mostColumns) return steps;
  return Array.from(
    { length: mostColumns },
    (_, i) => steps[Math.round((i * (steps.length - 1)) / (mostColumns - 1))]!,
  );
}

/** Where each column begins, and where the last one ends. */
function edges(columns: readonly DecisionStep[]): number[] {
  const starts = columns.map(({ step }) => step);
  const last = starts.at(-1);
  if (last === undefined) return [];
  return [...starts, last + Math.max(last - (starts.at(-2) ?? last - 1), 1e-9)];
}

function rowTops(groupSizes: readonly number[], top: number, rowHeight: number): number[] {
  const rows: number[] = [];
  for (const [group, size] of groupSizes.entries()) {
    for (let i = 0; i < size; i++) rows.push(top + rows.length * rowHeight + group * groupGap);
  }
  return rows;
}

function separators(groupSizes: readonly number[], rows: readonly number[]): string[] {
  let layer = 0;
  return groupSizes.slice(0, -1).map((size) => {
    layer += size;
    const y = round((rows[layer] ?? 0) - groupGap / 2 - 0.5);
    return `<path d="M${left - 40} ${y}H${right + 48}" stroke="${colour.rule}" stroke-width="1"/>`;
  });
}

function drawRow(
  layer: number,
  { y, height }: { readonly y: number; readonly height: number },
  columns: readonly DecisionStep[],
  x: (step: number) => number,
  isKept: boolean,
): string {
  const middle = round(y + height / 2);
  const shade = ({ probabilities }: DecisionStep) => Math.round(clamp(probabilities[layer] ?? 0) * 20) / 20;
  const cells = runs(columns, shade).map(
    ({ from, to, value }) =>
      `<path d="M${round(x(from))} ${middle - 0.5}H${round(x(to))}" stroke="${colour.accent}" ` +
      `stroke-width="${height - 3}" opacity="${value * 0.85}"/>`,
  );
  const marks = runs(columns, ({ kept }) => (kept.includes(layer) ? 1 : 0)).map(
    ({ from, to }) => `M${round(x(from))} ${middle - 0.5}H${round(x(to))}`,
  );
  const number = `fill="${isKept ? colour.ink : colour.soft}" dominant-baseline="central"`;
  return (
    `<rect x="${left}" y="${round(y + 1)}" width="${right - left}" height="${height - 3}" fill="${colour.track}"/>` +
    `<g shape-rendering="crispEdges">${cells.join("")}</g>` +
    (marks.length > 0 ? `<path d="${marks.join("")}" stroke="${colour.ink}" stroke-width="2"/>` : "") +
    textAt(left - 10, middle, `${layer}`, `${number} text-anchor="end" font-size=".8em"`) +
    (isKept ? textAt(right + 12, middle, `${layer}`, `${number} font-weight="600" font-size=".8em"`) : "")
  );
}

/** Neighbouring columns with the same value, joined; those of value 0 are left out. */
function runs(columns: readonly DecisionStep[], read: (column: DecisionStep) => number): Run[] {
  const borders = edges(columns);
  const found: Run[] = [];
  for (const [i, column] of columns.entries()) {
    const value = read(column);
    const [from, to] = [borders[i]!, borders[i + 1]!];
    const before = found.at(-1);
    if (before && before.value === value && before.to === from) found[found.length - 1] = { ...before, to };
    else if (value > 0) found.push({ from, to, value });
  }
  return found;
}

/** Into [0, 1]; NaN counts as 0. */
function clamp(probability: number): number {
  return probability > 0 ? Math.min(probability, 1) : 0;
}
