/** What all charts of a report share: colours of the theme, the SVG frame with its title, text, and the legend. */
import { escapeHtml } from "./escape.ts";

// Charts are drawn 640 units wide and scale with the page. Text is 12.5 units, and 20 on a phone (page-style.ts), so
// every layout leaves room for the larger size. Colours are the page's variables, with the light theme as a fallback.

/** Units across a chart. */
export const chartWidth = 640;

/** Colours by role. */
export const colour = {
  ink: "var(--ink,#23221f)",
  soft: "var(--soft,#6b6861)",
  rule: "var(--rule,#e4e0d7)",
  track: "var(--track,#f0ede6)",
  accent: "var(--c0,#2f5d8a)",
} as const;

const seriesColours = ["#2f5d8a", "#bf5b2c", "#4d7d3d", "#84569a", "#a3801b", "#2f8585", "#a8446a", "#6b6861"];

/** The colour of the series with this index; after eight they repeat. */
export function seriesColour(index: number): string {
  const i = index % seriesColours.length;
  return `var(--c${i},${seriesColours[i]})`;
}

/** An SVG element with a title, drawn at the top and read by screen readers, followed by `body`; `height` in units. */
export function chartFrame(title: string, description: string, height: number, body: string): string {
  const lines = titleLines(title).map((line, i) =>
    textAt(0, titleBaseline + i * titleLeading, line, `font-size="1.15em" font-weight="600"`),
  );
  return (
    `<svg class="chart" role="img" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${chartWidth} ${round(height)}" ` +
    `font-family="system-ui,sans-serif" font-size="12.5" fill="${colour.ink}">` +
    `<title>${escapeHtml(title)}</title><desc>${escapeHtml(description)}</desc>${lines.join("")}${body}</svg>`
  );
}

const titleBaseline = 20;
const titleLeading = 27;

/** Where the room below the title begins, in units. */
export function belowTitle(title: string): number {
  return titleBaseline + titleLines(title).length * titleLeading - 10;
}

/** Text with its baseline at (x, y); `attributes` are SVG's, already escaped. */
export function textAt(x: number, y: number, text: string, attributes = ""): string {
  return `<text x="${round(x)}" y="${round(y)}"${attributes && ` ${attributes}`}>${escapeHtml(text)}</text>`;
}

/** Entries of a legend, each a coloured mark and its name, in as many rows as they need. */
export interface LegendEntry {
  readonly name: string;
  readonly colour: string;
  /** The character in front of the name. */
  readonly mark: string;
}

/** A legend whose first row starts below `top`: its SVG and where it ends. */
export function legend(
  entries: readonly LegendEntry[],
  top: number,
): { readonly svg: string; readonly bottom: number } {
  const rows: LegendEntry[][] = [];
  let used = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    const width = textWidth(fitted(entry.name)) + 50;
    if (used + width > chartWidth) {
      rows.push([]);
      used = 0;
    }
    rows.at(-1)!.push(entry);
    used += width;
  }
  const svg = rows.map((row, r) => {
    const spans = row.map(
      (entry, i) =>
        `<tspan${i > 0 ? ` dx="1.4em"` : ""} fill="${entry.colour}">${entry.mark}</tspan>` +
        `<tspan dx="0.45em">${escapeHtml(fitted(entry.name))}</tspan>`,
    );
    return `<text x="0" y="${top + 20 + r * 26}" fill="${colour.soft}">${spans.join("")}</text>`;
  });
  return { svg: svg.join(""), bottom: top + rows.length * 26 };
}

/** Units that `text` may take at the larger text size. */
export function textWidth(text: string): number {
  return text.length * 10.2;
}

/** `text`, cut with an ellipsis where it would be wider than a chart. */
export function fitted(text: string): string {
  return text.length > 56 ? `${text.slice(0, 55).trimEnd()}…` : text;
}

/** A coordinate with one decimal, which is a tenth of a pixel. */
export function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function titleLines(title: string): string[] {
  const lines: string[] = [];
  for (const word of title.split(/\s+/).filter(Boolean)) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + word.length < 48) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}
