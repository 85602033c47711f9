/** The page of all studies as Markdown: what sites that host repositories show without a download. */
import type { Study, StudyReport } from "../definitions/study.ts";

/** A study with what it found. */
export interface Reported {
  readonly study: Study;
  readonly report: StudyReport;
  readonly cells: { readonly done: number; readonly of: number };
}

/** Answers first, then every study that has cells, with its figures, which lie in the folder of its name. */
export function joinedMarkdown(
  title: string,
  reports: readonly Reported[],
  command: (study: string) => string,
): string {
  const begun = reports.filter(({ cells }) => cells.done > 0);
  const rest = reports.filter(({ cells }) => cells.done === 0).map(({ study }) => study.name);
  const blocks = [
    `# ${title}`,
    ...reports.flatMap(({ report }) => report.headline ?? []).map(escaped),
    "Written by `npm run study -- report`; the tables are in [report.html](report.html) and in the CSV files below.",
    ...begun.flatMap(({ study, report, cells }) => [
      `## ${escaped(study.title)}`,
      `*${escaped(study.question)}*`,
      ...report.answer.split("\n\n").map(escaped),
      ...report.drawings.map(({ name, caption }) => `![${escaped(caption)}](${study.name}/${name}.png)`),
      `${cells.done} of ${cells.of} cells are there: [numbers](${study.name}/report.csv), \`${command(study.name)}\`.`,
    ]),
    ...(rest.length > 0 ? [`Not begun: ${rest.join(", ")}.`] : []),
  ];
  return `${blocks.join("\n\n")}\n`;
}

const escaped = (text: string): string => text.replace(/[\\`*_<>[\]|]/g, "\\$&");
