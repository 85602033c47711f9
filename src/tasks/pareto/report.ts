/** The report of `pareto`: a chart, a page, CSV and JSON. */
import { join } from "node:path";
import { drawSvg } from "../../data/images/draw-svg.ts";
import { type Machine, machineText } from "../../evaluation/speed/timing.ts";
import { htmlPage, type Section } from "../../report/page.ts";
import { writeAtomically } from "../../storage/atomic-write.ts";
import type { TimedCell } from "./cell.ts";
import { frontChart, frontOf, remarkedText } from "./front.ts";
import { placeOf } from "./times.ts";

/** Pixels across the picture. */
const PICTURE_WIDTH = 1400;

interface Measured {
  readonly results: readonly TimedCell[];
  /** Where the times were taken. */
  readonly machine: Machine;
}

/** Writes all files of the report; `command` repeats it. */
export async function writeReport(
  { results, machine }: Measured,
  { command, out }: { readonly command: string | undefined; readonly out: string },
): Promise<{ readonly front: readonly string[]; readonly files: readonly string[] }> {
  const front = frontOf(results);
  const svg = frontChart(results, front);
  const files: readonly (readonly [string, string | Uint8Array])[] = [
    ["pareto.json", `${JSON.stringify({ command, front, timedOn: machine, cells: results }, null, 2)}\n`],
    ["pareto.csv", csvOf(results, front)],
    ["pareto.svg", `${svg}\n`],
    ["pareto.png", await drawSvg(svg, PICTURE_WIDTH)],
    ["report.html", page({ results, machine }, front, svg, command)],
  ];
  for (const [name, content] of files) await writeAtomically(join(out, name), content);
  return { front, files: files.map(([name]) => join(out, name)) };
}

const COLUMNS: readonly (readonly [string, (result: TimedCell) => unknown])[] = [
  ["id", ({ id }) => id],
  ["model", ({ model }) => model.path],
  ["weights", ({ model }) => model.weights],
  ["blocks", ({ model }) => model.blocks],
  ["kept", ({ model }) => model.kept?.join(" ")],
  ["parameters", ({ model }) => model.parameters],
  ["sampler", ({ settings }) => settings.sampler],
  ["steps", ({ settings }) => settings.steps],
  ["cache", ({ settings }) => settings.cache ?? 0],
  ["precision", ({ settings }) => settings.precision ?? "float32"],
  ["cfg", ({ settings }) => settings.cfgScale],
  ["seed", ({ settings }) => settings.seed],
  ["count", ({ settings }) => settings.count],
  ["metric", ({ metric }) => metric],
  ["estimate", ({ score }) => score.estimate],
  ["standard_error", ({ score }) => score.standardError],
  ["seconds_per_image", ({ secondsPerImage }) => secondsPerImage],
  ["seconds_least", ({ seconds }) => seconds.least],
  ["seconds_most", ({ seconds }) => seconds.most],
  ["rounds", ({ seconds }) => seconds.rounds],
  ["same_work_as", ({ sameWorkAs }) => sameWorkAs],
  ["macs_per_image", ({ macsPerImage }) => macsPerImage],
  ["date", ({ machine }) => machine.date],
];

function csvOf(results: readonly TimedCell[], front: readonly string[]): string {
  const more = [...new Set(results.flatMap(({ score }) => Object.keys(score.more)))];
  const rows = results.map((result) => [
    ...COLUMNS.map(([, of]) => of(result)),
    ...more.map((name) => result.score.more[name]),
    front.includes(result.id) ? 1 : 0,
  ]);
  const header = [...COLUMNS.map(([name]) => name), ...more, "on_front"];
  return [header, ...rows].map((row) => `${row.map(csvCell).join(",")}\n`).join("");
}

function csvCell(value: unknown): string {
  const text = String(value ?? "");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function page(measured: Measured, front: readonly string[], svg: string, command: string | undefined): string {
  const { results } = measured;
  const [{ metric, settings }] = results as [TimedCell];
  const sections: Section[] = [
    { kind: "figure", svg, caption: CHART_CAPTION },
    table(results, front),
    { heading: "How the times were taken", kind: "text", text: timesText(measured) },
    ...(command === undefined ? [] : [{ heading: "Repeat it", kind: "commands", lines: [command] } as const]),
    settingsTable(results),
  ];
  const lead =
    `${results.length} cells, ${front.length} on the front: ${metric} of ${settings.count} images against the seconds ` +
    "that one of them takes.";
  return htmlPage({ title: "Speed against quality", lead, sections });
}

const CHART_CAPTION =
  "Filled points are the front: no other cell is both faster and better. Lines across reach from the fastest to the slowest " +
  "round. Cells that do the work of another one are left out.";

function table(results: readonly TimedCell[], front: readonly string[]): Section {
  const sorted = results.toSorted((a, b) => a.secondsPerImage - b.secondsPerImage);
  const more = SHOWN.filter((name) => sorted.every(({ score }) => name in score.more));
  return {
    heading: "Cells, from fast to slow",
    kind: "table",
    columns: ["model", "sampler", "s per image", "least to most", "GMACs", sorted[0]!.metric, ...more.map(spaced)],
    rows: sorted.map((result) => [
      ...cellRow(result, results),
      ...more.map((name) => result.score.more[name]!.toPrecision(3)),
    ]),
    strongRows: sorted.flatMap(({ id }, row) => (front.includes(id) ? [row] : [])),
    caption:
      "Bold: on the front, as estimated; neighbours whose errors overlap may change places with other images. " +
      "GMACs: multiply-accumulates of matrix products of one image, with all steps and both halves of guidance.",
  };
}

/** Columns of the table besides the metric; the files hold all. */
const SHOWN = ["spatialFrechet", "inceptionScore", "precision", "recall", "labelAccuracy", "realImages"];

const spaced = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

function timesText({ results, machine }: Measured): string {
  const sampledOn = new Set(results.map((result) => placeOf(result.machine)));
  const others =
    sampledOn.size > 1 ? `\n\nThe images were sampled on several machines: ${[...sampledOn].join("; ")}.` : "";
  const [{ seconds, settings }] = results as [TimedCell];
  const [rounds, order] =
    seconds.rounds === 1 ? ["one round", ""] : [`${seconds.rounds} rounds`, ", every other one backwards"];
  return (
    `After all cells were sampled, all were timed in turn, in ${rounds}${order}: each time a sampler is compiled, a cache ` +
    "with the error curves of its cell, each of its graphs runs once, and then one batch of " +
    `${settings.batch} images is timed. A time is the median over the rounds; it includes the sampler, not compilation, ` +
    "an autoencoder or the metric.\n\nA cache that saves nothing does the work of the cell without one: such cells differ " +
    `by chance alone, so one of them is shown and can be on the front.\n\n${machineText(machine)}.${others}`
  );
}

/** Model, sampling, seconds per image, fastest and slowest round, GMACs, score. */
export function cellRow(result: TimedCell, results: readonly TimedCell[]): string[] {
  const { model, secondsPerImage, seconds, macsPerImage, score } = result;
  return [
    model.name,
    remarkedText(result, results),
    secondsPerImage.toPrecision(3),
    `${seconds.least.toPrecision(3)}–${seconds.most.toPrecision(3)}`,
    (macsPerImage / 1e9).toPrecision(3),
    `${score.estimate.toFixed(2)} ± ${score.standardError.toFixed(2)}`,
  ];
}

function settingsTable(results: readonly TimedCell[]): Section {
  const [first] = results as [TimedCell];
  const shared = Object.entries(first.settings).filter(([name, value]) =>
    results.every(({ settings }) => JSON.stringify(settings[name]) === JSON.stringify(value)),
  );
  const models = new Map(results.map(({ model }) => [model.name, model]));
  const words = (value: unknown) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  return {
    heading: "Settings",
    kind: "table",
    columns: ["what", "value"],
    rows: [
      ...Array.from(models.values(), ({ name, path, weights, images, sha256 }) => {
        const used = weights === "ema" ? "averaged (EMA) weights" : "raw weights";
        return [name, `${path}, ${used}, ${images.toLocaleString("en")} images seen, SHA-256 ${sha256.slice(0, 16)}…`];
      }),
      ...shared.map(([name, value]) => [spaced(name), words(value)]),
      ...Object.entries(first.judgedBy).map(([name, value]) => [`${first.metric}: ${name}`, words(value)]),
      ...versionRows(results),
    ],
  };
}

/** The versions that computed the cells; all of them where they differ. */
function versionRows(results: readonly TimedCell[]): [string, string][] {
  const names = new Set(results.flatMap(({ versions }) => Object.keys(versions)));
  return Array.from(names, (name) => {
    const found = [...new Set(results.map(({ versions }) => versions[name] ?? "not noted"))];
    return [name, found.length === 1 ? found[0]! : `differs between cells: ${found.join(", ")}`];
  });
}
