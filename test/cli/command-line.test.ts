/** The command line that a report shows: in a shell it gives the same words again, and nothing else happens. */
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { commandLine } from "../../src/cli/flags.ts";

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
  const given = Object.fromEntries(texts.map((text, i) => [`text${i}`, text]));
  const options = { reference: "$(date) 'x'", quick: true, clip: false, count: 2000 };
  expect(words(commandLine("evaluate", Object.keys(given), { ...options, ...given }))).toEqual([
    ...["tinyfusion", "evaluate", ...texts, "--reference", "$(date) 'x'", "--quick", "--count", "2000"],
  ]);
});

test("names and addresses of weights stay readable, without what may be a signature", () => {
  const given = { file: "https://example.org/a.pt?signature=s3cret", vae: "hf:a/b@main:x.pt" };
  const line = commandLine("pareto", ["file"], given);
  expect(line).toBe("tinyfusion pareto https://example.org/a.pt --vae hf:a/b@main:x.pt");
});
