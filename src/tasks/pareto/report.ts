/** What a study found, for people and for programs: a chart, a table, a page, CSV and JSON. */
import { join } from "node:path";
import { drawSvg } from "../../data/images/draw-svg.ts";
import { machineText } from "../../evaluation/speed/timing.ts";
import { htmlPage, type Section } from "../../report/page.ts";
import { writeAtomically } from "../../storage/atomic-write.ts";
import { paretoFront } from "./front.ts";
import { frontChart } from "./front-chart.ts";
import { remarkedText } from "./sampling-text.ts";
import type { StudyResult, TimedCell } from "./study.ts";
import { placeOf } from "./times.ts";

/** Pixels across the picture. */
const PICTURE_WIDTH = 1400;

export interface ReportFacts {
  /** The command line that repeats it. */
  readonly command: string;
  readonly out: string;
}

/** Writes all files of the report; returns the paths of those to look at. */
export async function writeReport(study: StudyResult, { command, out }: ReportFacts): Promise<string[]> {
  const front = frontOf(study.results);
  const svg = frontChart(study.results, front);
  const json = { command, front, timedOn: study.machine, cells: study.results };
  const files: readonly (readonly [string, string | Uint8Array])[] = [
    ["pareto.json", `${JSON.stringify(json, null, 2)}\n`],
    ["pareto.csv", csvOf(study.results, front)],
    ["pareto.svg", `${svg}\n`],
    ["pareto.png", await drawSvg(svg, PICTURE_WIDTH)],
    ["report.html", page(study, front, svg, command)],
  ];
  for (const [name, content] of files) await writeAtomically(join(out, name), content);
  return files.map(([name]) => join(out, name));
}

/** The ids of the cells on the front, from fast to slow. Of cells that do the same work one takes part: chance decides between them. */
export function frontOf(results: readonly TimedCell[]): string[] {
  const contenders = results
    .filter(({ sameWorkAs }) => sameWorkAs === undefined)
    .map(({ id, seconds, score }) => ({ id, seconds: seconds.median, distance: score.estimate }));
  return paretoFront(contenders).map(({ id }) => id);
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

function page(study: StudyResult, front: readonly string[], svg: string, command: string): string {
  const { results } = study;
  const [{ metric, settings }] = results as [TimedCell];
  const sections: Section[] = [
    { kind: "figure", svg, caption: CHART_CAPTION },
    table(results, front),
    { heading: "How the times were taken", kind: "text", text: timesText(study) },
    { heading: "Repeat it", kind: "commands", lines: [command] },
    settingsTable(results),
  ];
  const lead =
    `${results.length} cells, ${front.length} on the front: ${metric} of ${settings.count} images against the seconds ` +
    "that one of them takes.";
  return htmlPage({ title: "Speed against quality", lead, sections });
}

const CHART_CAPTION =
  "Filled points are the front: no other cell is both faster and better. Lines across reach from the fastest to the slowest " +
  "round. Cells that do the work of another one are not drawn.";

function table(results: readonly TimedCell[], front: readonly string[]): Section {
  const sorted = results.toSorted((a, b) => a.secondsPerImage - b.secondsPerImage);
  const more = SHOWN.filter((name) => sorted.every(({ score }) => name in score.more));
  return {
    heading: "Cells, from fast to slow",
    kind: "table",
    columns: ["model", "sampler", "s per image", "least to most", "GMACs", sorted[0]!.metric, ...more.map(spaced)],
    rows: sorted.map((result) => [
      result.model.name,
      remarkedText(result, results),
      result.secondsPerImage.toPrecision(3),
      rangeText(result),
      (result.macsPerImage / 1e9).toPrecision(3),
      `${result.score.estimate.toFixed(2)} ± ${result.score.standardError.toFixed(2)}`,
      ...more.map((name) => result.score.more[name]!.toPrecision(3)),
    ]),
    strongRows: sorted.flatMap(({ id }, row) => (front.includes(id) ? [row] : [])),
    caption:
      "Bold: on the front, as estimated; neighbours whose errors overlap may change places with other images. " +
      "GMACs: multiply-accumulates of matrix products of one image, with all steps and both halves of guidance.",
  };
}

/** What the table says besides the metric; files hold all. */
const SHOWN = ["spatialFrechet", "inceptionScore", "precision", "recall", "labelAccuracy", "realImages"];

const spaced = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

function timesText({ results, machine }: StudyResult): string {
  const drawnOn = new Set(results.map((result) => placeOf(result.machine)));
  const others = drawnOn.size > 1 ? `\n\nThe images were drawn on several machines: ${[...drawnOn].join("; ")}.` : "";
  const [{ seconds, settings }] = results as [TimedCell];
  const [rounds, order] =
    seconds.rounds === 1 ? ["one round", ""] : [`${seconds.rounds} rounds`, ", every other one backwards"];
  return (
    `After all cells were drawn, all were timed in turn, in ${rounds}${order}: each time a sampler is compiled, a cache from ` +
    "what it measured when its cell was drawn; it is run until each of its graphs has run; and then it draws one batch of " +
    `${settings.batch} images, which is timed. A time is the median over the rounds; it holds the sampler, not compilation, ` +
    "an autoencoder or the metric.\n\nA cache that saves nothing does the work of the cell without one: between such cells " +
    `chance alone would decide, so one of them is drawn and can be on the front.\n\n${machineText(machine)}.${others}`
  );
}

/** The fastest and the slowest round. */
export const rangeText = ({ seconds: { least, most } }: TimedCell): string =>
  `${least.toPrecision(3)}–${most.toPrecision(3)}`;

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
