/** Reports on disk: JSON, CSV and pictures of each study, its page, and one page of all studies. */

import { join } from "node:path";
import { drawSvg, htmlPage, jsonText, type Section, writeAtomically } from "tinyfusion";
import { countDone, inOrder, type Study, type StudyReport } from "../studies/study.ts";
import type { Results, StoredTrial } from "../trials/results.ts";
import { withNeeds } from "../trials/trial.ts";
import { escapeMarkdown, markdownFigure, markdownSection } from "./markdown.ts";

/** Pixels across a picture. */
const PICTURE_WIDTH = 1400;

const TITLE = "Every rival pruner";
const LEAD =
  "Comparisons of pruners, of their settings and of recoveries on small models of digits, written by `npm run study -- report` " +
  "from the trials in this folder: tables and figures, no conclusions.";

/** How to read the tables of every study. */
const NOTES: Section = {
  heading: "How to read the tables",
  kind: "text",
  text:
    "Mean ± standard error over seeds. FD-digits: the Fréchet distance of the digit classifier's features, lower is better. Losses " +
    "are of the training objective: when pruned, on calibration examples before any recovery; held out, after it. Choosing is the " +
    "time of all that a method computes to decide what stays, and recovery that of all training after it: measured while other work " +
    "ran on the machine, and good to a factor of two. GMACs are those of one evaluation of one image, exactly; speed is measured " +
    "apart (`npm run study -- table1 --only speed`).\n\nDifferences are paired by seed, variant − reference: a negative one is a " +
    "lower (better) distance than the reference's. Beyond 2 standard errors: whether the mean is at least so far from 0.",
};

export interface ReportRequest {
  /** The folder of all studies: reports go there, too. */
  readonly results: Results;
  /** The command line that runs a study. */
  readonly command: (study: string) => string;
}

/** Writes what a study found so far; returns the paths. */
export async function writeStudy(study: Study, request: ReportRequest): Promise<string[]> {
  const { results, command } = request;
  const { name, title, question } = study;
  const report = study.report(results.result);
  const { table, figures } = report;
  const trials = countDone(study, results.result);
  const rows = table.rows.map((row) => Object.fromEntries(table.columns.map((column, i) => [column, row[i]])));
  const sections: Section[] = [
    { kind: "text", text: doneText(trials) },
    ...sectionsOf(report),
    NOTES,
    machinesSection(storedOf([study], results)),
    repeatSection([command(name)]),
  ];
  const files: (readonly [string, string | Uint8Array])[] = [
    ["report.json", jsonText({ study: name, question, command: command(name), cells: trials, rows })],
    ["report.csv", csvText(table)],
    ["report.html", htmlPage({ title, lead: question, sections })],
  ];
  for (const { name: figure, svg } of figures) {
    files.push([`${figure}.svg`, `${svg}\n`], [`${figure}.png`, await drawSvg(svg, PICTURE_WIDTH)]);
  }
  for (const [file, content] of files) await writeAtomically(join(results.path, name, file), content);
  return files.map(([file]) => join(results.path, name, file));
}

/** The page of all studies, as HTML and as Markdown: every study of which a trial is there. Returns the paths. */
export async function writeJoined(studies: readonly Study[], request: ReportRequest): Promise<string[]> {
  const { results, command } = request;
  const all = studies.map((study) => ({ study, trials: countDone(study, results.result) }));
  const begun = all.filter(({ trials }) => trials.done > 0);
  const rest = all.filter(({ trials }) => trials.done === 0).map(({ study }) => study.name);
  const reports = begun.map(({ study, trials }) => ({ study, trials, report: study.report(results.result) }));
  const missing = rest.length > 0 ? [`Not begun: ${rest.join(", ")}.`] : [];
  const machines = machinesSection(storedOf(studies, results));
  const page = htmlPage({
    title: TITLE,
    lead: LEAD,
    sections: [
      ...reports.flatMap(({ study, report, trials }): Section[] => [
        { heading: study.title, kind: "text", text: `${study.question}\n\n${doneText(trials)}` },
        ...sectionsOf(report),
      ]),
      ...missing.map((text) => ({ kind: "text", text }) as const),
      NOTES,
      machines,
      repeatSection(studies.map(({ name }) => command(name))),
    ],
  });
  const blocks = [
    `# ${TITLE}`,
    `${LEAD} The conclusions are in [CONCLUSIONS.md](../CONCLUSIONS.md), the same tables in [report.html](report.html).`,
    ...reports.flatMap(({ study, report, trials }) => [
      `## ${escapeMarkdown(study.title)}`,
      `*${escapeMarkdown(study.question)}*`,
      ...report.figures.map((figure) => markdownFigure(study.name, figure)),
      ...report.sections.map(markdownSection),
      `${doneText(trials)} [Numbers](${study.name}/report.csv), \`${command(study.name)}\`.`,
    ]),
    ...missing,
    markdownSection(NOTES),
    markdownSection(machines),
  ];
  const files: (readonly [string, string])[] = [
    [join(results.path, "report.html"), page],
    [join(results.path, "report.md"), `${blocks.join("\n\n")}\n`],
  ];
  for (const [path, content] of files) await writeAtomically(path, content);
  return files.map(([path]) => path);
}

/** The trials of studies that are there, and those that they needed. */
function storedOf(studies: readonly Study[], results: Results): StoredTrial[] {
  const trials = withNeeds(studies.flatMap((study) => inOrder(study.variants(results.result))));
  return trials.flatMap((trial) => results.find(trial) ?? []);
}

const sectionsOf = ({ figures, sections }: StudyReport): Section[] => [
  ...figures.map(({ svg, caption }) => ({ kind: "figure", svg, caption }) as const),
  ...sections,
];

const repeatSection = (lines: readonly string[]): Section => ({ heading: "Repeat it", kind: "commands", lines });

/** How many trials of a study are there. */
export const doneText = ({ done, of }: { readonly done: number; readonly of: number }): string =>
  `${done} of ${of} trials are there.`;

/** Columns and rows as CSV. */
export const csvText = ({ columns, rows }: StudyReport["table"]): string =>
  [columns, ...rows].map((row) => `${row.map(csvField).join(",")}\n`).join("");

function csvField(value: unknown): string {
  const text = String(value ?? "");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** One row for each machine, number of threads and set of versions. */
export function machinesSection(trials: readonly StoredTrial[]): Section {
  const groups = new Map<string, StoredTrial[]>();
  for (const trial of trials) {
    const key = describedBy(trial).join("\n");
    groups.set(key, [...(groups.get(key) ?? []), trial]);
  }
  return {
    heading: "Machines",
    kind: "table",
    columns: ["processor", "threads", "versions", "first", "last", "trials"],
    rows: Array.from(groups.values(), (own) => {
      const days = own.map(({ machine }) => machine.date.slice(0, "2026-11-23".length)).sort();
      return [...describedBy(own[0]!), days[0]!, days.at(-1)!, own.length];
    }),
    caption:
      "Of the trials here and of those that they needed. Numbers are bit-equal only for equal machines, versions and threads.",
  };
}

function describedBy({ machine, versions }: StoredTrial): [string, number, string] {
  const { processor, cores, memoryGiB, platform, threads } = machine;
  const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [`${cores} × ${processor}, ${memoryGiB} GiB, ${platform}`, threads, names.join(", ")];
}
