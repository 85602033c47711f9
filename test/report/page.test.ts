import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { htmlPage, pngDataUri, type Section } from "../../src/report/page.ts";

const evil = `<img src=x onerror="alert(1)">&'`;
const png = pngDataUri(Uint8Array.of(137, 80, 78, 71));
const page = (...sections: Section[]) => htmlPage({ title: "Report", lead: "Found.", sections });

describe("a report page", () => {
  test("escapes every text it is given", () => {
    const html = htmlPage({
      title: evil,
      lead: evil,
      sections: [
        { kind: "text", heading: evil, text: `${evil}\n\n\`${evil}\`` },
        { kind: "table", columns: [evil], rows: [[evil]], caption: evil },
        { kind: "figure", image: png, alt: evil, caption: evil },
        { kind: "columns", images: [{ image: png, alt: evil, caption: evil }] },
        { kind: "commands", lines: [evil] },
      ],
    });
    expect(html).not.toContain("<img src=x");
    expect(html.match(/&lt;img src=x onerror=&quot;alert\(1\)&quot;&gt;&amp;&#39;/g)).toHaveLength(14);
  });

  test("asks the network for nothing and runs nothing", () => {
    const html = page({ kind: "columns", images: [{ image: png, alt: "digits" }] });
    expect(html).toContain(`content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"`);
    expect(html).not.toMatch(/https?:|<script|<link|@import|url\(/);
  });

  test("lets tables of many columns be wider than the text", () => {
    const table = (count: number) => page({ kind: "table", columns: new Array(count).fill("a"), rows: [] });
    expect([table(7), table(8)].map((html) => html.includes('<div class="scroll wide">'))).toEqual([false, true]);
  });

  test("refuses a picture that would have to be fetched, and a chart that is no svg", () => {
    expect(() => page({ kind: "figure", image: "https://example.com/a.png", alt: "a" })).toThrow(InputError);
    expect(() => page({ kind: "columns", images: [{ image: "a.png", alt: "a" }] })).toThrow(/"a" is not a data URI/);
    expect(() => page({ kind: "figure", svg: "<script>" })).toThrow(InputError);
  });

  test("embeds a chart as it is", () => {
    expect(page({ kind: "figure", svg: `<svg viewBox="0 0 1 1"></svg>` })).toContain(`<svg viewBox="0 0 1 1"></svg>`);
  });

  test("makes paragraphs of blank lines and code of backticks", () => {
    const html = page({ kind: "text", text: "one `a < b`\nstill one\n\ntwo" });
    expect(html).toContain("<p>one <code>a &lt; b</code>\nstill one</p>\n<p>two</p>");
  });

  test("gives each command a line of its own, remarks without a prompt", () => {
    const html = page({ kind: "commands", lines: ["# first", "tinyfusion demo"] });
    expect(html).toContain(`<code class="comment"># first</code><code>tinyfusion demo</code>`);
  });
});

describe("a table", () => {
  const cells = (html: string) => [...html.matchAll(/<td[^>]*>([^<]*)<\/td>/g)].map(([, text]) => text);

  test("aligns numbers to the right with equal decimals", () => {
    const html = page({
      kind: "table",
      columns: ["model", "FID"],
      rows: [
        ["a", 4.1],
        ["b", 5.02],
        ["c", "9.7 ± 0.2"],
        ["d", Number.NaN],
      ],
    });
    expect(cells(html)).toEqual(["a", "4.10", "b", "5.02", "c", "9.7 ± 0.2", "d", "–"]);
    expect(html.match(/<td class="number">/g)).toHaveLength(4);
  });

  test("keeps a tiny number readable, and whole numbers whole", () => {
    const html = page({
      kind: "table",
      columns: ["rate", "steps"],
      rows: [
        [0.0000012, 4000],
        [-1.25, 100],
      ],
    });
    expect(cells(html)).toEqual(["0.0000012", "4000", "−1.25", "100"]);
  });

  test("fills missing cells and sets strong rows in bold", () => {
    const html = page({ kind: "table", columns: ["a", "b"], rows: [["x"], ["y", "z"]], strongRows: [1] });
    expect(cells(html)).toEqual(["x", "", "y", "z"]);
    expect(html.match(/<tr class="strong">/g)).toHaveLength(1);
  });
});

describe("a data URI", () => {
  test("holds the bytes in base64, however many", () => {
    const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251);
    const uri = pngDataUri(bytes);
    expect(uri.startsWith("data:image/png;base64,")).toBe(true);
    expect(new Uint8Array(Buffer.from(uri.split(",")[1]!, "base64"))).toEqual(bytes);
  });
});
