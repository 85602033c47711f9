import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "fast-png";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { contents, plantModel, readJsonFile, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-pareto-"));
afterAll(() => rmSync(folder, { recursive: true }));

const at = (name: string) => join(folder, name);
const deep = at("deep.safetensors");
const tiny = ["--threads", "1", "--count", "20", "--batch", "10", "--steps", "ddim2"];
const studying = (out: string, ...more: string[]) => run(["pareto", deep, "--out", at(out), ...tiny, ...more]);

beforeAll(async () => {
  await plantModel(deep);
  await plantModel(at("shallow.safetensors"), { ...tinyConfig, depth: 2 });
  await plantModel(at("other.safetensors"), { ...tinyConfig, numClasses: 7 });
  await plantModel(at("sit.safetensors"), { family: "sit", ...tinyConfig }, { process: { kind: "flow" } as never });
});

interface StudyFile {
  readonly front: readonly string[];
  readonly reference: readonly { readonly at: string }[];
  readonly cells: readonly {
    readonly model: { readonly name: string; readonly path: string; readonly blocks: number };
    readonly settings: { readonly sampler: string; readonly cache?: number };
  }[];
}

describe("tinyfusion pareto", () => {
  test("draws every cell, writes table, picture and page, and does no cell twice", async () => {
    const first = await studying("study", "--shallow", at("shallow.safetensors"));
    expect([first.code, first.stderr.match(/^cell \d of 2: .*FD-digits .* s an image/gm)?.length]).toEqual([0, 2]);
    const { cells, front, reference } = readJsonFile(at("study/pareto.json")) as StudyFile;
    expect(cells.map(({ model }) => [model.name, model.path])).toEqual([
      ["4 blocks", deep],
      ["2 blocks", at("shallow.safetensors")],
    ]);
    expect(front.length).toBeGreaterThan(0);
    expect(reference.map((time) => time.at)).toEqual(["start", "end"]);
    expect(readdirSync(at("study/cells"))).toHaveLength(2);
    const rows = readFileSync(at("study/pareto.csv"), "utf8")
      .trimEnd()
      .split("\n")
      .map((row) => row.split(","));
    expect(rows.map((row) => row.length)).toEqual(rows.map(() => rows[0]!.length));
    const column = (name: string) => rows.slice(1).map((row) => row[rows[0]!.indexOf(name)]);
    expect([column("blocks"), column("steps"), column("count")]).toEqual([
      ["4", "2"],
      ["ddim2", "ddim2"],
      ["20", "20"],
    ]);
    expect(column("on_front").filter((value) => value === "1")).toHaveLength(front.length);
    const { width, height } = decode(readFileSync(at("study/pareto.png")));
    expect([width, height > 600]).toEqual([1400, true]);
    const page = readFileSync(at("study/report.html"), "utf8");
    for (const text of ["<svg", "one after another", "4 blocks", `tinyfusion pareto ${deep}`])
      expect(page).toContain(text);

    const before = contents(at("study/cells"));
    const again = await studying("study", "--shallow", at("shallow.safetensors"));
    expect([again.code, contents(at("study/cells"))]).toEqual([0, before]);
    expect(again.stdout).toContain("0 cells computed now");
  });

  test("has caches, samplers and some blocks as axes; no cache is one cell however it is said", async () => {
    const { code, stdout } = await studying("axes", "--kept", "0,3", "--samplers", "ddim,dpm++2m", "--cache", "0,1000");
    expect(code).toBe(0);
    const { cells } = readJsonFile(at("axes/pareto.json")) as StudyFile;
    const said = cells.map(({ model, settings }) => [model.blocks, settings.sampler, settings.cache ?? 0]);
    expect(said).toEqual(
      ["ddim", "dpm++2m"].flatMap((sampler) => [0, 1000].flatMap((cache) => [4, 2].map((n) => [n, sampler, cache]))),
    );
    expect(stdout).toMatch(/dpm\+\+2m ddim2, cache 1000/);
    expect((await studying("axes", "--kept", "0,3", "--samplers", "ddim")).stdout).toContain("0 cells computed now");
  });

  test("--dry-run says how many cells there are and how long they take, and writes nothing", async () => {
    const { code, stdout } = await studying("dry", "--steps", "ddim2,ddim4", "--kept", "0,2", "--dry-run");
    expect([code, existsSync(at("dry"))]).toEqual([0, false]);
    expect(stdout).toMatch(
      /^4 cells of 20 images, 0 of them done; nothing is written\n4 blocks: 2 cells, about 0:\d\d\n/,
    );
    expect(stdout).toMatch(/together about 0:\d\d of drawing, by pilots of one batch; scoring comes on top\n$/);
  });

  test.each([
    [["--shallow", at("other.safetensors")], /found 1 × 28 × 28, 10 classes, process gaussian in \S+ and .* 7 classes/],
    [
      ["--shallow", at("sit.safetensors")],
      /process gaussian in \S+ and .* process flow in \S+sit\.safetensors; study them/,
    ],
    [["--steps", "ddim2,ddim2"], /--steps expects entries by comma, each once, got "ddim2" in "ddim2,ddim2"/],
    [["--cache", "0,much"], /--cache expects tolerances of at least 0 by comma, as 0,0\.1, got much/],
    [["--samplers", "heun"], /unknown sampler heun of Gaussian diffusion/],
    [["--kept", "0,2/9"], /"9" is not a block number from 0 to 3/],
  ])("refuses %o in one sentence and writes nothing", async (more, message) => {
    const { code, stderr } = await studying("refused", ...more);
    expect(stderr).toMatch(message);
    expect([code, existsSync(at("refused")), stderr.trimEnd().split("\n").length]).toEqual([1, false, 1]);
  });

  test("refuses models that are not of digits, caches that a sampler cannot have, and a missing folder", async () => {
    const other = await run(["pareto", at("other.safetensors"), ...tiny, "--out", at("refused")]);
    expect(other.stderr).toMatch(/expected a model of digits .* found 1 × 28 × 28 and 7 classes in \S+other/);
    const sit = ["pareto", at("sit.safetensors"), "--out", at("refused"), "--count", "20", "--steps", "3"];
    const adaptive = await run([...sit, "--samplers", "dopri5", "--cache", "0.1"]);
    expect(adaptive.stderr).toMatch(
      /--cache 0\.1 needs a fixed number of evaluations, dopri5 has none; study it apart/,
    );
    expect((await run(["pareto", deep])).stderr).toBe("tinyfusion: --out is required\n");
    expect(existsSync(at("refused"))).toBe(false);
  });

  test("stopped, says how it goes on", async () => {
    const stopped = await run(["pareto", deep, "--out", at("stopped"), ...tiny], AbortSignal.abort());
    expect([stopped.code, stopped.stderr]).toEqual([
      130,
      expect.stringMatching(/the same command goes on from there\n$/),
    ]);
  });
});
