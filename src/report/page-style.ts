/** How a report page looks: one column of text, a light and a dark theme, readable on a phone and on paper. */

/** CSS text; the variables are the colours that charts use too. */
export const pageStyle = `
:root {
  color-scheme: light dark;
  --paper: #fcfbf8; --ink: #23221f; --soft: #6b6861; --rule: #e4e0d7; --track: #f2efe8; --muted: #c2bdb2;
  --c0: #2f5d8a; --c1: #bf5b2c; --c2: #4d7d3d; --c3: #84569a; --c4: #a3801b; --c5: #2f8585; --c6: #a8446a; --c7: #6b6861;
  --serif: Charter, "Bitstream Charter", "Iowan Old Style", "Palatino Linotype", Palatino, Georgia, "Liberation Serif", serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "Liberation Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #171716; --ink: #e8e4dc; --soft: #a19c92; --rule: #353330; --track: #232220; --muted: #5d5a54;
    --c0: #86b3de; --c1: #e39468; --c2: #93bf80; --c3: #c49ad8; --c4: #d6b65c; --c5: #74c2c2; --c6: #e08bab; --c7: #a19c92;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.0625rem/1.6 var(--serif); }
main { max-width: 46rem; margin: 0 auto; padding: 4.5rem 1.25rem 6rem; }
header { margin-bottom: 3.5rem; }
h1 { font-size: 2.4rem; line-height: 1.15; font-weight: 600; letter-spacing: -.015em; margin: 0 0 1rem; text-wrap: balance; }
.lead { font-size: 1.25rem; line-height: 1.5; color: var(--soft); margin: 0; max-width: 38rem; text-wrap: balance; }
section { margin: 1.75rem 0; }
section:has(> h2) { margin-top: 3.75rem; padding-top: 1.1rem; border-top: 1px solid var(--rule); }
h2 { font-size: 1.4rem; line-height: 1.25; font-weight: 600; letter-spacing: -.005em; margin: 0 0 1.1rem; text-wrap: balance; }
p { margin: 0 0 1em; max-width: 40rem; text-wrap: pretty; }
p:last-child { margin-bottom: 0; }
p code, figcaption code { font: .88em var(--mono); background: var(--track); padding: .1em .3em; border-radius: 3px; overflow-wrap: anywhere; }
figure { margin: 0; }
figcaption { font: .875rem/1.5 var(--sans); color: var(--soft); margin-top: .8rem; max-width: 40rem; text-wrap: pretty; }
.chart { display: block; width: 100%; height: auto; font-variant-numeric: tabular-nums; }
img { display: block; max-width: 100%; height: auto; border-radius: 3px; box-shadow: 0 0 0 1px var(--rule); }
img.pixels { image-rendering: pixelated; width: 100%; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1.5rem 1.25rem; }
.columns figcaption { margin-top: .55rem; }
.columns img { width: 100%; }
.scroll { overflow-x: auto; }
.scroll.wide { position: relative; left: 50%; translate: -50%; width: max-content; min-width: 100%; max-width: calc(100vw - 2.5rem); }
.wide td:first-child { white-space: nowrap; }
.wide :is(th, td):not(:last-child) { padding-right: .9rem; }
table { border-collapse: collapse; width: 100%; font: .9rem/1.4 var(--sans); font-variant-numeric: tabular-nums lining-nums; }
th { text-align: left; vertical-align: bottom; font-weight: 500; font-size: .8125rem; color: var(--soft); }
th, td { padding: .5rem 1.4rem .5rem 0; border-bottom: 1px solid var(--rule); }
th:last-child, td:last-child { padding-right: 0; }
thead th { border-bottom-color: var(--soft); }
tbody tr:last-child td { border-bottom-color: var(--soft); }
.number { text-align: right; white-space: nowrap; }
tr.strong td { font-weight: 650; }
pre { margin: 0; padding: .9rem 1.1rem; background: var(--track); border-radius: 5px; font: .84rem/1.65 var(--mono); }
pre code { display: block; font: inherit; white-space: pre-wrap; overflow-wrap: anywhere; padding-left: 1.3rem; user-select: all; }
pre code::before { content: "$"; display: inline-block; width: 1.3rem; margin-left: -1.3rem; color: var(--soft); user-select: none; }
pre code.comment { color: var(--soft); }
pre code.comment::before { content: ""; }
@media (max-width: 38rem) {
  body { font-size: 1rem; }
  main { padding: 2.5rem 1.1rem 4rem; }
  header { margin-bottom: 2.5rem; }
  h1 { font-size: 1.85rem; }
  .lead { font-size: 1.1rem; }
  section:has(> h2) { margin-top: 2.75rem; }
  .chart { width: 34rem; }
  th, td { padding-right: .9rem; }
}
@media print {
  :root { --paper: #fff; }
  main { max-width: none; padding: 0; }
  .scroll.wide { position: static; translate: none; width: auto; }
  figure, table, pre { break-inside: avoid; }
}
`.trim();

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** `text` made safe for HTML and SVG, as content and inside double quotes; control characters that XML forbids are dropped. */
export function escapeHtml(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to drop
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "").replace(/[&<>"']/g, (c) => entities[c]!);
}
