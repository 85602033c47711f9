/** The import table of ARCHITECTURE.md, executable: who may import whom, and what every source file looks like. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { describe, expect, test } from "vitest";

/** What every room of `src/` may import besides itself. A room that is not listed here does not exist. */
const rooms: Readonly<Record<string, readonly string[]>> = (() => {
  const graphs = ["array", "graph", "formats", "engine", "nn", "models", "diffusion"];
  const files = [...graphs, "storage", "weights", "data"];
  return {
    array: [],
    graph: ["array"],
    formats: ["array"],
    engine: ["array", "graph", "formats"],
    nn: ["array", "graph"],
    models: ["array", "graph", "nn"],
    diffusion: ["array", "graph", "engine"],
    storage: ["array", "formats"],
    weights: [...graphs, "storage"],
    data: [...graphs, "storage", "weights"],
    training: files,
    pruning: [...files, "training"],
    sampling: files,
    evaluation: [...files, "sampling"],
    report: ["array"],
    export: [...files, "sampling"],
    cluster: ["array"],
    tasks: [...files, "training", "pruning", "sampling", "evaluation", "report", "export"],
    studio: ["array", "storage", "training"],
  };
})();
/** Rooms and files that may import anything inside `src/`, except that nobody imports these. */
const doors = ["cli", "index.ts", "graph.ts", "formats.ts", "models.ts", "browser.ts"];

/** Packages from npm, and the rooms that may import them. */
const packages: Readonly<Record<string, readonly string[]>> = {
  commander: ["cli"],
  echarts: ["report"],
  yaml: ["tasks"],
  zod: ["models", "diffusion"],
  "fast-png": ["formats"],
  fflate: ["formats"],
  "@huggingface/hub": ["storage"],
  sharp: ["data"],
  "onnxruntime-node": ["engine"],
  "onnxruntime-common": ["engine"],
  "onnxruntime-web": ["engine"],
};

/** These run in a browser too. */
const withoutNode = ["array", "graph", "formats", "nn", "models", "diffusion"];
const withFileSystem = ["storage", "studio"];

interface Import {
  readonly specifier: string;
  /** `import type`: erased, so it cannot be part of a cycle at run time. */
  readonly typeOnly: boolean;
}

interface Source {
  /** Relative to `src/`, with slashes: `training/adamw.ts`. */
  readonly path: string;
  readonly room: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

const src = join(import.meta.dirname, "../src");

function importsOf(text: string): Import[] {
  const statements = /^\s*(?:import|export)\s(?:(type)\s)?(?:[^;'"]*?\sfrom\s+)?["']([^"']+)["']/gm;
  const calls = /\bimport\(\s*["']([^"']+)["']\s*\)/g;
  return [
    ...Array.from(text.matchAll(statements), ([, type, specifier]) => ({ specifier: specifier!, typeOnly: !!type })),
    ...Array.from(text.matchAll(calls), ([, specifier]) => ({ specifier: specifier!, typeOnly: false })),
  ];
}

const sources: readonly Source[] = readdirSync(src, { recursive: true, encoding: "utf8" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts"))
  .sort()
  .map((path) => {
    const text = readFileSync(join(src, path), "utf8");
    return { path, room: path.split("/")[0]!, text, imports: importsOf(text) };
  });
const byPath = new Map(sources.map((source) => [source.path, source]));

/** The file below `src/` that a relative import names. */
const resolved = ({ path }: Source, specifier: string): string => posix.join(dirname(path), specifier);
const isRelative = ({ specifier }: Import): boolean => specifier.startsWith(".");

/** One line for each violation, for all files at once. */
const violations = (find: (source: Source) => Iterable<string>): string[] =>
  sources.flatMap((source) => Array.from(find(source), (problem) => `src/${source.path}: ${problem}`));

/** Files that import each other in a circle: the first circle found from each file, or none. */
function cycles(edges: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) found.push([...trail.slice(at), path].join(" → "));
    if (at >= 0 || done.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return found;
}

/** All files that a file loads when it runs. */
function loadedBy(start: Source): Source[] {
  const loaded = new Set<Source>([start]);
  for (const source of loaded) {
    for (const item of source.imports.filter((one) => isRelative(one) && !one.typeOnly)) {
      const target = byPath.get(resolved(source, item.specifier));
      if (target) loaded.add(target);
    }
  }
  return [...loaded];
}

describe("who imports whom", () => {
  test("every room is in the table, and none has only one file", () => {
    const present = new Map<string, number>();
    for (const { room } of sources) present.set(room, (present.get(room) ?? 0) + 1);
    expect([...present.keys()].filter((room) => !(room in rooms) && !doors.includes(room))).toEqual([]);
    expect([...present].filter(([room, files]) => room in rooms && files === 1)).toEqual([]);
  });

  test("every relative import names a source file with its extension, in a room that may be imported", () => {
    const problems = violations(function* (source) {
      for (const { specifier } of source.imports.filter(isRelative)) {
        const target = byPath.get(resolved(source, specifier));
        if (!target) yield `imports ${specifier}, which does not exist`;
        else if (target.room === source.room) continue;
        else if (doors.includes(target.room) && !doors.includes(source.room))
          yield `imports ${specifier}; nobody imports ${target.room}`;
        else if (!doors.includes(source.room) && !rooms[source.room]?.includes(target.room))
          yield `${source.room} may not import ${target.room} (${specifier})`;
      }
    });
    expect(problems).toEqual([]);
  });

  test("packages are imported only by the rooms that wrap them", () => {
    const problems = violations(function* ({ room, imports }) {
      for (const { specifier } of imports) {
        if (specifier.startsWith(".") || specifier.startsWith("node:")) continue;
        const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
        if (!packages[name]?.includes(room)) yield `${room} may not import ${specifier}`;
      }
    });
    expect(problems).toEqual([]);
  });

  test("rooms that run in a browser import nothing of Node, and only storage and studio touch files", () => {
    const problems = violations(function* ({ room, imports }) {
      for (const { specifier } of imports.filter((one) => one.specifier.startsWith("node:"))) {
        if (withoutNode.includes(room)) yield `${room} may not import ${specifier}`;
        if (/^node:fs\b/.test(specifier) && !withFileSystem.includes(room))
          yield `only storage may import ${specifier}`;
      }
    });
    expect(problems).toEqual([]);
  });

  test.skipIf(!byPath.has("browser.ts"))("browser.ts loads nothing of Node, not even through others", () => {
    const loaded = loadedBy(byPath.get("browser.ts")!);
    const problems = loaded.flatMap(({ path, imports }) =>
      imports
        .filter(({ specifier, typeOnly }) => !typeOnly && /^(node:|onnxruntime-node)/.test(specifier))
        .map(({ specifier }) => `src/${path} loads ${specifier}`),
    );
    expect(problems).toEqual([]);
  });

  test("no files import each other in a circle, types included", () => {
    const edges = sources.map((source) => {
      const relative = source.imports.filter(isRelative);
      return [source.path, relative.map(({ specifier }) => resolved(source, specifier))] as const;
    });
    expect(cycles(new Map(edges))).toEqual([]);
  });

  test("research imports the package by its entry points, as a stranger would", () => {
    const research = join(src, "../research/src");
    const problems = readdirSync(research, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts"))
      .flatMap((path) => {
        const own = (specifier: string) => join(research, path, "..", specifier).startsWith(research);
        return importsOf(readFileSync(join(research, path), "utf8"))
          .map(({ specifier }) => specifier)
          .filter((one) => (one.startsWith(".") ? !own(one) : !/^(node:|commander$|tinyfusion(\/\w+)?$)/.test(one)))
          .map((specifier) => `research/src/${path} imports ${specifier}`);
      });
    expect(problems).toEqual([]);
  });

  test("only cli prints, reads flags or ends the process", () => {
    const problems = violations(function* ({ path, room, text }) {
      if (room === "cli") return;
      const reads = path === "tasks/task.ts" ? "env" : ""; // where downloads of a library's user come from and go to
      const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
      for (const [word] of code.matchAll(/\bconsole\.\w+|\bprocess\.(?:argv|stdout|stderr|exit\w*|env)\b/g))
        if (reads === "" || !word.endsWith(`.${reads}`)) yield word;
    });
    expect(problems).toEqual([]);
  });
});

describe("what a source file looks like", () => {
  test("its name is kebab-case and says what it holds", () => {
    const problems = violations(function* ({ path }) {
      for (const part of path.split("/")) {
        const name = part.replace(/\.ts$/, "");
        if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) yield `${part} is not kebab-case`;
        if (/^(utils?|helpers?|common|misc)$/.test(name)) yield `${part} does not say what it holds`;
      }
    });
    expect(problems).toEqual([]);
  });

  test("it opens with a sentence of purpose", () => {
    const problems = violations(function* ({ text }) {
      const comment = /^(?:#!.*\n)?\/\*\*([\s\S]*?)\*\//.exec(text)?.[1];
      const sentence = comment?.replaceAll(/\s*\n\s*\*\s*/g, " ").trim();
      if (!sentence || !/^\S.*?\.(\s|$)/.test(sentence)) yield `opens with ${JSON.stringify(text.slice(0, 60))}`;
    });
    expect(problems).toEqual([]);
  });

  test("it spreads no literal, which would only save lines", () => {
    const problems = violations(function* ({ text }) {
      for (const [spread] of text.matchAll(/\.\.\.\{.*/g)) yield spread;
    });
    expect(problems).toEqual([]);
  });

  test("it has at most 300 lines", () => {
    const problems = violations(function* ({ text }) {
      const lines = text.trimEnd().split("\n").length;
      if (lines > 300) yield `${lines} lines`;
    });
    expect(problems).toEqual([]);
  });

  test("the linter refuses functions over 60 lines, everywhere in src", () => {
    const { linter, overrides = [] } = JSON.parse(readFileSync(join(src, "../biome.json"), "utf8"));
    const rule = linter.rules.complexity.noExcessiveLinesPerFunction;
    expect(rule.level).toBe("error");
    expect(rule.options.maxLines).toBeLessThanOrEqual(60);
    const elsewhere = overrides
      .filter((one: object) => JSON.stringify(one).includes("noExcessiveLinesPerFunction"))
      .flatMap((one: { includes: string[] }) => one.includes);
    expect(elsewhere.filter((pattern: string) => !/^(test|bench|research\/test)\//.test(pattern))).toEqual([]);
  });
});

describe("this test itself", () => {
  test("sees imports of every form", () => {
    const text = [
      'import "a";',
      'import { b } from "./b.ts";',
      'import type { C } from "./c.ts";',
      'import {\n  type D,\n  d,\n} from "./d.ts";',
      'export * from "./e.ts";',
      'export type { F } from "./f.ts";',
      'const g = await import("./g.ts");',
      'import * as h from "node:fs";',
    ].join("\n");
    const seen = importsOf(text).map(({ specifier, typeOnly }) => `${specifier}${typeOnly ? " type" : ""}`);
    const expected = ["a", "./b.ts", "./c.ts type", "./d.ts", "./e.ts", "./f.ts type", "node:fs", "./g.ts"];
    expect(seen).toEqual(expected);
  });

  test("sees every import of the real files", () => {
    for (const { path, text, imports } of sources) {
      const written = text.match(/\bfrom\s+"[^"]+";|^import\s+"[^"]+";|\bimport\("/gm)?.length ?? 0;
      expect(imports.length, path).toBe(written);
    }
    expect(existsSync(join(src, "cli/main.ts"))).toBe(true);
  });

  test("finds a circle", () => {
    const edges = new Map([
      ["a", ["b"]],
      ["b", ["c"]],
      ["c", ["b"]],
    ]);
    expect(cycles(edges)).toEqual(["b → c → b"]);
  });
});
