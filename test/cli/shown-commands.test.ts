/** Every command line that help, the README or a page of docs/ shows could be typed: command, options, values and arguments exist. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { commands } from "../../src/cli/commands.ts";
import { flagOf, withFlags } from "../../src/cli/flags.ts";
import { resolveValues } from "../../src/tasks/settings.ts";

/** Words as a shell splits them, without a comment; `…` stands for more. */
function words(line: string): string[] {
  const code = line.replace(/\s#\s.*$/, "");
  return Array.from(code.matchAll(/"([^"]*)"|(\S+)/g), ([, quoted, bare]) => quoted ?? bare!).filter(
    (word) => word !== "…",
  );
}

/** What is wrong with a command line that begins behind `tinyfusion`; null if nothing is. */
function problem(line: string): string | null {
  const [name, ...rest] = words(line);
  const command = commands.find((one) => one.name === name);
  if (!command) return `no command ${name}`;
  const table = { ...command.settings, ...command.flags };
  const flags: Record<string, unknown> = {};
  const positional: string[] = [];
  for (let i = 0; i < rest.length; i++) {
    const word = rest[i]!;
    if (!word.startsWith("--")) positional.push(word);
    else {
      const option = Object.keys(table).find((key) => flagOf(key) === word);
      if (option === undefined) return `${name} has no ${word}`;
      flags[option] = table[option]!.kind === "flag" ? true : rest[++i];
    }
  }
  const expected = command.positional?.length ?? 0;
  if (positional.length !== expected) return `${name} takes ${expected} arguments, got ${positional.join(" ")}`;
  try {
    resolveValues(table, flags);
    return null;
  } catch (error) {
    return withFlags((error as Error).message);
  }
}

/** Lines of a document's code blocks that call the program; a backslash joins a line with the next. */
function shownIn(path: string): string[] {
  const blocks = readFileSync(path, "utf8").matchAll(/```sh\n(.*?)```/gs);
  return Array.from(blocks, ([, block]) => block!.replaceAll(/\\\n/g, " ").split("\n"))
    .flat()
    .flatMap((line) => /^(?:npx )?tinyfusion\s+(.*)$/.exec(line.trim())?.[1] ?? []);
}

describe("command lines", () => {
  test.each(commands.map(({ name, examples }) => [name, examples] as const))("in the help of %s", (name, examples) => {
    expect(examples[0]).toMatch(new RegExp(`^tinyfusion ${name}\\b`));
    expect(examples.flatMap((line) => problem(line.replace("tinyfusion ", "")) ?? [])).toEqual([]);
  });

  test.each([
    ["README.md", 5],
    ["docs/evaluation.md", 9],
    ["docs/models-and-data.md", 7],
  ])("in %s", (page, least) => {
    const shown = shownIn(join(import.meta.dirname, "../..", page));
    expect(shown.length).toBeGreaterThanOrEqual(least);
    expect(shown.flatMap((line) => problem(line) ?? [])).toEqual([]);
  });

  test.each([
    ["paint x", "no command paint"],
    ["sample a.pt --colour red", "sample has no --colour"],
    ["sample a.pt b.pt", "sample takes 1 arguments, got a.pt b.pt"],
    ["sample a.pt --count many", "--count expects a whole number, got many"],
  ])("that are wrong are found: %s", (line, message) => {
    expect(problem(line)).toBe(message);
  });
});
