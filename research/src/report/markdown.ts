/** Sections of a report as Markdown: what sites that host repositories show without a download. */
import type { Section } from "tinyfusion";
import type { Figure } from "../studies/study.ts";

/** Text as Markdown shows it literally. */
export const escapeMarkdown = (text: string): string => text.replace(/[\\*_<>[\]|]/g, "\\$&");

/** The figure's PNG in the folder of its study. */
export const markdownFigure = (study: string, { name, caption }: Figure): string =>
  `![${escapeMarkdown(caption)}](${study}/${name}.png)`;

/** Paragraphs, tables and commands; figures are links, see {@link markdownFigure}. */
export function markdownSection(section: Section): string {
  const heading = section.heading === undefined ? "" : `### ${escapeMarkdown(section.heading)}\n\n`;
  if (section.kind === "text") return heading + escapeMarkdown(section.text);
  if (section.kind === "commands") return `${heading}\`\`\`\n${section.lines.join("\n")}\n\`\`\``;
  if (section.kind !== "table") throw new TypeError(`expected text, a table or commands, got ${section.kind}`);
  const { columns, rows, strongRows = [], caption } = section;
  const line = (trials: readonly string[]) => `| ${trials.join(" | ")} |`;
  const body = rows.map((row, i) =>
    line(row.map((trial) => (strongRows.includes(i) ? `**${cellText(trial)}**` : cellText(trial)))),
  );
  const table = [line(columns.map(escapeMarkdown)), line(columns.map(() => "---")), ...body].join("\n");
  return heading + table + (caption ? `\n\n${escapeMarkdown(caption)}` : "");
}

const cellText = (trial: string | number): string => escapeMarkdown(String(trial));
