/** Reports on disk: JSON, CSV and pictures of each study, its page, and one page of all studies. */
import { join } from "node:path";
import { drawSvg, htmlPage, jsonText, type Section, writeAtomically } from "tinyfusion";
import { withNeeds } from "../cells/cell.ts";
import type { Evidence, StoredCell } from "../cells/evidence.ts";
import { countDone, inOrder, type Study, type StudyReport } from "../definitions/study.ts";
import { joinedMarkdown, type Reported } from "./joined-markdown.ts";
import { machinesSection } from "./machines.ts";

/** Pixels across a picture. */
const PICTURE_WIDTH = 1400;

const JOINED_TITLE = "Every rival pruner";

export interface ReportFacts {
  /** The folder of all studies: reports go there, too. */
  readonly evidence: Evidence;
  /** The command line that runs a study. */
  readonly command: (study: string) => string;
}

/** Writes what a study found so far; returns the paths. */
export async function writeStudy(study: Study, facts: ReportFacts): Promise<string[]> {
  const { evidence, command } = facts;
  const { name, title, question } = study;
  const report = study.report(evidence.result);
  const { answer, table, drawings } = report;
  const cells = countDone(study, evidence.result);
  const rows = table.rows.map((row) => Object.fromEntries(table.columns.map((column, i) => [column, row[i]])));
  const sections: Section[] = [
    { kind: "text", text: `${answer}\n\n${doneText(cells)}` },
    ...sectionsOf(report),
    machinesSection(storedOf([study], evidence)),
    repeatSection([command(name)]),
  ];
  const files: (readonly [string, string | Uint8Array])[] = [
    ["report.json", jsonText({ study: name, question, command: command(name), cells, answer, rows })],
    ["report.csv", csvText(table)],
    ["report.html", htmlPage({ title, lead: question, sections })],
  ];
  for (const { name: drawing, svg } of drawings) {
    files.push([`${drawing}.svg`, `${svg}\n`], [`${drawing}.png`, await drawSvg(svg, PICTURE_WIDTH)]);
  }
  for (const [file, content] of files) await writeAtomically(join(evidence.path, name, file), content);
  return files.map(([file]) => join(evidence.path, name, file));
}

/** The page of all studies, those with cells in full; the first lines answer what matters most. Returns the paths. */
export async function writeJoined(studies: readonly Study[], facts: ReportFacts): Promise<string[]> {
  const { evidence, command } = facts;
  const find = evidence.result;
  const reports: Reported[] = studies.map((study) => ({
    study,
    report: study.report(find),
    cells: countDone(study, find),
  }));
  const begun = reports.filter(({ cells }) => cells.done > 0);
  const headlines = reports.flatMap(({ report }) => report.headline ?? []);
  const others = begun.filter(({ report }) => report.headline === undefined);
  const rest = reports.filter(({ cells }) => cells.done === 0).map(({ study }) => study.name);
  const missing = rest.length > 0 ? [`Not begun: ${rest.join(", ")}.`] : [];
  const page = htmlPage({
    title: JOINED_TITLE,
    lead: headlines[0]!,
    sections: [
      { kind: "text", text: headlines.slice(1).join("\n\n") },
      {
        ...{ heading: "What else was found", kind: "text" },
        text: [...others.map(({ study, report }) => `${study.title}: ${report.answer}`), ...missing].join("\n\n"),
      },
      ...begun.flatMap(({ study, report, cells }): Section[] => [
        {
          ...{ heading: study.title, kind: "text" },
          text: [study.question, report.headline === undefined ? "" : report.answer, doneText(cells)]
            .filter(Boolean)
            .join("\n\n"),
        },
        ...sectionsOf(report),
      ]),
      machinesSection(storedOf(studies, evidence)),
      repeatSection(studies.map(({ name }) => command(name))),
    ],
  });
  const files: (readonly [string, string])[] = [
    [join(evidence.path, "report.html"), page],
    [join(evidence.path, "report.md"), joinedMarkdown(JOINED_TITLE, reports, command)],
  ];
  for (const [path, content] of files) await writeAtomically(path, content);
  return files.map(([path]) => path);
}

/** The cells of studies that are there, and those that they needed. */
function storedOf(studies: readonly Study[], evidence: Evidence): StoredCell[] {
  const cells = withNeeds(studies.flatMap((study) => inOrder(study.arms(evidence.result))));
  return cells.flatMap((cell) => evidence.find(cell) ?? []);
}

const sectionsOf = ({ drawings, sections }: StudyReport): Section[] => [
  ...drawings.map(({ svg, caption }) => ({ kind: "figure", svg, caption }) as const),
  ...sections,
];

const repeatSection = (lines: readonly string[]): Section => ({ heading: "Repeat it", kind: "commands", lines });

/** How much of a study is there. */
export const doneText = ({ done, of }: { readonly done: number; readonly of: number }): string =>
  `${done} of ${of} cells are there.`;

/** Columns and rows as CSV. */
export const csvText = ({ columns, rows }: StudyReport["table"]): string =>
  [columns, ...rows].map((row) => `${row.map(csvCell).join(",")}\n`).join("");

function csvCell(value: unknown): string {
  const text = String(value ?? "");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
