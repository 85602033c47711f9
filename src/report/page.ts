/** A report as one HTML file: text, tables, charts and images. It fetches nothing and runs no script. */
import { InputError } from "../array/input-error.ts";
import { escapeHtml, pageStyle } from "./page-style.ts";

/** A report page. */
export interface ReportPage {
  readonly title: string;
  /** One or two sentences: what was found. */
  readonly lead: string;
  readonly sections: readonly Section[];
}

/** A part of the page. With a heading it begins a chapter, without one it continues the part before. */
export type Section = { readonly heading?: string } & Content;

type Content = TextContent | TableContent | FigureContent | ColumnsContent | CommandsContent;

/** Paragraphs, separated by blank lines; `` `code` `` in backticks. */
export interface TextContent {
  readonly kind: "text";
  readonly text: string;
}

/** A table; a column whose cells are all numbers (or empty) is right-aligned. */
export interface TableContent {
  readonly kind: "table";
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
  /** Indices of rows to set in bold. */
  readonly strongRows?: readonly number[];
  readonly caption?: string;
}

/** A chart (an `<svg>` element of this folder's functions, embedded as it is) or an image (a data URI). */
export type FigureContent = { readonly kind: "figure"; readonly caption?: string } & (
  | { readonly svg: string }
  | EmbeddedImage
);

/** Images side by side, as many to a row as fit. */
export interface ColumnsContent {
  readonly kind: "columns";
  readonly images: readonly (EmbeddedImage & { readonly caption?: string })[];
}

/** An embedded image. */
export interface EmbeddedImage {
  /** `data:image/…;base64,…`, see {@link pngDataUri} */
  readonly image: string;
  /** What it shows, for those who cannot see it. */
  readonly alt: string;
  /** Enlarged without smoothing, for images of few pixels. */
  readonly isPixelArt?: boolean;
}

/** Commands to repeat the work, one a line, each selected by one click; a line that begins with # is a remark. */
export interface CommandsContent {
  readonly kind: "commands";
  readonly lines: readonly string[];
}

/** The PNG file `bytes` as a data URI. */
export function pngDataUri(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 32_768) binary += String.fromCharCode(...bytes.subarray(at, at + 32_768));
  return `data:image/png;base64,${btoa(binary)}`;
}

/**
 * The whole page. All text is escaped, and its content security policy allows no script and no request.
 * @throws InputError if an image is not a data URI or a chart is not an `<svg>` element.
 */
export function htmlPage({ title, lead, sections }: ReportPage): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>
${pageStyle}
</style>
</head>
<body>
<main>
<header>
<h1>${escapeHtml(title)}</h1>
<p class="lead">${inline(lead)}</p>
</header>
${sections.map(section).join("\n")}
</main>
</body>
</html>
`;
}

type Render = { readonly [K in Content["kind"]]: (content: Extract<Content, { kind: K }>) => string };

const render: Render = { text: paragraphs, table, figure, columns, commands };

function section(part: Section): string {
  const heading = part.heading === undefined ? "" : `<h2>${escapeHtml(part.heading)}</h2>\n`;
  const content = (render[part.kind] as (content: Content) => string)(part);
  return `<section>\n${heading}${content}\n</section>`;
}

function paragraphs({ text }: TextContent): string {
  return text
    .split(/\n\s*\n/)
    .map((paragraph) => `<p>${inline(paragraph.trim())}</p>`)
    .join("\n");
}

/** Escaped text, what stood in backticks as code. */
function inline(text: string): string {
  return escapeHtml(text).replace(/`([^`]+)`/g, "<code>$1</code>");
}

function table({ columns, rows, strongRows = [], caption }: TableContent): string {
  const texts = columns.map((_, c) => columnTexts(rows.map((row) => row[c] ?? "")));
  const kind = (c: number) => (texts[c]!.every((text) => numberLike.test(text)) ? ` class="number"` : "");
  const head = columns.map((name, c) => `<th scope="col"${kind(c)}>${escapeHtml(name)}</th>`).join("");
  const body = rows.map((_, r) => {
    const cells = columns.map((_, c) => `<td${kind(c)}>${escapeHtml(texts[c]![r]!)}</td>`).join("");
    return `<tr${strongRows.includes(r) ? ` class="strong"` : ""}>${cells}</tr>`;
  });
  const grid = `<table><thead><tr>${head}</tr></thead>\n<tbody>\n${body.join("\n")}\n</tbody></table>`;
  const width = columns.length > COLUMN_FITS ? " wide" : "";
  return withCaption(`<div class="scroll${width}">${grid}</div>`, caption);
}

/** Tables of more columns may be wider than the text. */
const COLUMN_FITS = 7;

/** 12, −0.5, 3.2 ± 0.1, 1.9×, 45%, 1,000, –, or nothing */
const numberLike = /^([<>≈~]?\s*[-−+]?[\d.,]+(e[-−+]?\d+)?\s*(±\s*[\d.,]+)?\s*[×%kMG]?|[-–—]?)$/;

/** A column's cells as text, its numbers with as many decimals as the one that has most (of those from 1e-4 on), up to four. */
function columnTexts(cells: readonly (string | number)[]): string[] {
  const decimals = cells.map((cell) =>
    typeof cell === "number" && Math.abs(cell) >= 1e-4 ? (/\.(\d+)$/.exec(`${cell}`)?.[1]?.length ?? 0) : 0,
  );
  const most = Math.min(4, Math.max(0, ...decimals));
  return cells.map((cell) => {
    if (typeof cell === "string") return cell;
    if (!Number.isFinite(cell)) return "–";
    const isTiny = cell !== 0 && Math.abs(cell) < 10 ** -most;
    return (isTiny ? cell.toPrecision(2) : cell.toFixed(most)).replaceAll("-", "−");
  });
}

function figure(content: FigureContent): string {
  if (!("svg" in content)) return withCaption(imageTag(content), content.caption);
  if (!/^<svg[\s>]/.test(content.svg)) throw new InputError("report: a figure's svg is not an <svg> element");
  return withCaption(`<div class="scroll">${content.svg}</div>`, content.caption);
}

function columns({ images }: ColumnsContent): string {
  return `<div class="columns">\n${images.map((one) => withCaption(imageTag(one), one.caption)).join("\n")}\n</div>`;
}

function commands({ lines }: CommandsContent): string {
  const code = lines.map((line) => `<code${line.startsWith("#") ? ` class="comment"` : ""}>${escapeHtml(line)}</code>`);
  return `<pre>${code.join("")}</pre>`;
}

function imageTag({ image, alt, isPixelArt = false }: EmbeddedImage): string {
  if (!/^data:image\/[a-z+]+;base64,/.test(image)) {
    throw new InputError(`report: the image "${alt}" is not a data URI, but the page must not fetch anything`);
  }
  return `<img src="${escapeHtml(image)}" alt="${escapeHtml(alt)}"${isPixelArt ? ` class="pixels"` : ""}>`;
}

function withCaption(content: string, caption: string | undefined): string {
  return `<figure>${content}${caption ? `<figcaption>${inline(caption)}</figcaption>` : ""}</figure>`;
}
