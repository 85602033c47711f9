/** The command line that a report shows: in a shell it gives the same words again, and nothing else happens. */
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { commandLine } from "../../src/cli/command-line.ts";

/** The words that a shell makes of a line. */
const words = (line: string): string[] =>
  execFileSync("sh", ["-c", `printf '%s\\0' ${line}`], { encoding: "utf8" })
    .split("\0")
    .slice(0, -1);

test("texts of all kinds come back from a shell as they were", () => {
  const texts = [
    "plain.npz",
    "with blanks",
    "it's",
    '"quoted"',
    "$(date)",
    "`date`",
    "$HOME",
    "a;b|c&d",
    "*",
    "~",
    "a\nb\\",
  ];
  const values = { reference: "$(date) 'x'", quick: true, count: 2000, keep: 4 };
  const given = new Set(["reference", "quick", "count"]);
  expect(words(commandLine("evaluate", { given, typed: { values, positional: [...texts, undefined] } }))).toEqual([
    ...["tinyfusion", "evaluate", ...texts, "--reference", "$(date) 'x'", "--quick", "--count", "2000"],
  ]);
});

test("names and addresses of weights stay readable", () => {
  const typed = { values: { vae: "hf:a/b@main:x.pt" }, positional: ["https://example.org/a.pt"] };
  expect(commandLine("pareto", { given: new Set(["vae"]), typed })).toBe(
    "tinyfusion pareto https://example.org/a.pt --vae hf:a/b@main:x.pt",
  );
});
