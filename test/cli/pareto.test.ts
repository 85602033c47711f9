import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "fast-png";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Evaluation } from "../../src/evaluation/scores/evaluation.ts";
import { digits, plantReference } from "./digit-pictures.ts";
import { contents, plantModel, readJsonFile, run, tinyConfig } from "./program-run.ts";
import { plantVae } from "./tiny-vae.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-pareto-"));
afterAll(() => rmSync(folder, { recursive: true }));

const at = (name: string) => join(folder, name);
const deep = at("deep.safetensors");
const tiny = ["--threads", "1", "--count", "20", "--batch", "10", "--steps", "ddim2", "--keep", "100"];
const studying = (out: string, ...more: string[]) => run(["pareto", deep, "--out", at(out), ...tiny, ...more]);

const judgedBySome = ["--reference", at("some.npz")];

beforeAll(async () => {
  await plantModel(deep);
  await plantReference(at("pngs"), at("some.npz"), await digits(0, 60));
  await plantModel(at("shallow.safetensors"), { ...tinyConfig, depth: 2 });
});

interface StudyFile {
  readonly front: readonly string[];
  readonly cells: readonly {
    readonly metric: string;
    readonly score: {
      readonly estimate: number;
      readonly standardError: number;
      readonly more: Record<string, number>;
    };
    readonly judgedBy: Readonly<Record<string, unknown>>;
    readonly model: { readonly name: string; readonly path: string; readonly blocks: number };
    readonly settings: { readonly sampler: string; readonly cache?: number };
  }[];
}

describe("tinyfusion pareto", () => {
  test("draws every cell, writes table, picture and page, and does no cell twice", async () => {
    const first = await studying("study", "--shallow", at("shallow.safetensors"));
    expect([first.code, first.stderr.match(/^cell \d of 2: .*FD-digits \S+ ± \S+$/gm)?.length]).toEqual([0, 2]);
    const { cells, front } = readJsonFile(at("study/pareto.json")) as StudyFile;
    expect(first.stderr).toMatch(/^step 10\/10 .*round 5 +left 0:00$/m);
    expect(cells.map(({ model }) => [model.name, model.path])).toEqual([
      ["4 blocks", deep],
      ["2 blocks", at("shallow.safetensors")],
    ]);
    expect(front.length).toBeGreaterThan(0);
    expect(readFileSync(at("study/times.jsonl"), "utf8").trim().split("\n")).toHaveLength(2 * 5);
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
    for (const text of ["<svg", "timed in turn", "4 blocks", `tinyfusion pareto ${deep}`]) expect(page).toContain(text);

    const before = contents(at("study/cells"));
    const again = await studying("study", "--shallow", at("shallow.safetensors"));
    expect([again.code, contents(at("study/cells"))]).toEqual([0, before]);
    expect(again.stdout).toContain("0 cells computed now; times are medians of 5 rounds through all cells.");

    const times = readFileSync(at("study/times.jsonl"), "utf8");
    writeFileSync(at("study/times.jsonl"), times.slice(0, -10).replaceAll(/"cores":\d+/g, '"cores":1000'));
    const elsewhere = await studying("study", "--shallow", at("shallow.safetensors"));
    expect(elsewhere.stderr).toMatch(
      /the times in \S+study do not count, as .*1000 × .*; timing starts over\nstep 1\/10 /,
    );
    expect(readFileSync(at("study/times.jsonl"), "utf8").trim().split("\n")).toHaveLength(2 * 5);
  }, 60_000);

  test("has caches, samplers and some blocks as axes; no cache is one cell however it is said", async () => {
    const { code, stdout } = await studying(
      "axes",
      "--blocks",
      "0,3",
      "--samplers",
      "ddim,dpm++2m",
      "--cache",
      "0,1000",
      ...judgedBySome,
    );
    expect(code).toBe(0);
    const { cells } = readJsonFile(at("axes/pareto.json")) as StudyFile;
    const said = cells.map(({ model, settings }) => [model.blocks, settings.sampler, settings.cache ?? 0]);
    expect(said).toEqual(
      ["ddim", "dpm++2m"].flatMap((sampler) => [0, 1000].flatMap((cache) => [4, 2].map((n) => [n, sampler, cache]))),
    );
    expect(stdout).toMatch(/dpm\+\+2m ddim2, cache 1000/);
    expect((await studying("axes", "--blocks", "0,3", "--samplers", "ddim", ...judgedBySome)).stdout).toContain(
      "0 cells computed now",
    );
  }, 60_000);

  test("times a cache that was measured on images of one's choice", async () => {
    const cached = ["--cache", "0,1000", "--cache-images", "2", "--rounds", "1", ...judgedBySome];
    const { code, stdout, stderr } = await studying("cached", ...cached);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("medians of 1 round through");
    const { cells } = readJsonFile(at("cached/pareto.json")) as { cells: Record<string, unknown>[] };
    expect(cells).toMatchObject([
      { settings: expect.not.objectContaining({ cacheImages: 2 }), seconds: { rounds: 1 } },
      {
        settings: { cache: 1000, cacheImages: 2 },
        derived: { cache: { curves: { measured: { images: 2 } }, savedShare: expect.any(Number) } },
        seconds: { rounds: 1 },
      },
    ]);
    const times = readFileSync(at("cached/times.jsonl"), "utf8").trim().split("\n");
    expect(times.map((line) => JSON.parse(line).cell)).toEqual(cells.map(({ id }) => id));
  }, 60_000);

  test("judges as evaluate does, to the last digit, and by another reference computes other cells", async () => {
    const judged = await studying("judged", "--cfg", "1.5", "--seed", "4", ...judgedBySome);
    expect(judged.code, judged.stderr).toBe(0);
    const drawing = ["--count", "20", "--batch", "10", "--steps", "ddim2", "--cfg", "1.5", "--seed", "4"];
    const evaluating = [
      "evaluate",
      deep,
      ...drawing,
      "--labels",
      "balanced",
      "--out",
      at("evaluated"),
      "--threads",
      "1",
    ];
    expect((await run([...evaluating, ...judgedBySome])).code).toBe(0);
    const [{ metric, score, judgedBy }] = (readJsonFile(at("judged/pareto.json")) as StudyFile).cells as [
      StudyFile["cells"][0],
    ];
    const { scores } = readJsonFile(at("evaluated/evaluation.json")) as Evaluation;
    const [first, ...others] = scores;
    expect([metric, score.estimate, score.standardError]).toEqual([first!.name, first!.value, first!.standardError]);
    expect(score.more).toEqual(Object.fromEntries(others.map(({ key, value }) => [key, value])));
    expect(Object.keys(score.more)).toEqual(expect.arrayContaining(["precision", "recall", "labelAccuracy"]));
    expect(judgedBy).toMatchObject({ network: { name: "digits" }, reference: { keep: 100 } });

    const { sha256 } = (judgedBy as { reference: { sha256: string } }).reference;
    const other = await studying("judged", "--cfg", "1.5", "--seed", "4", "--reference", at("pngs"));
    expect(other.stdout).toContain("1 cell computed now");
    const [again] = (readJsonFile(at("judged/pareto.json")) as StudyFile).cells;
    expect((again!.judgedBy as { reference: { sha256: string } }).reference.sha256).not.toBe(sha256);
    expect(again!.score.estimate).toBe(score.estimate); // the same images in another form
    expect(readdirSync(at("judged/cells"))).toHaveLength(2);
  }, 60_000);

  test("decodes latents, and judges the pictures as evaluate does", async () => {
    const vae = plantVae(at("vae"));
    const latents = await plantModel(at("latents.safetensors"), {
      ...tinyConfig,
      inputSize: 14,
      inChannels: 4,
      patchSize: 7,
    });
    const refused = await run(["pareto", latents, ...tiny, "--out", at("refused")]);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/expected --vae, as \S+ samples 4-channel/),
    ]);
    const judging = [...judgedBySome, "--vae", vae];
    const { code, stderr } = await run(["pareto", latents, ...tiny, "--out", at("decoded"), ...judging]);
    expect(code, stderr).toBe(0);
    const drawing = ["--count", "20", "--batch", "10", "--steps", "ddim2", "--labels", "balanced", "--threads", "1"];
    const evaluated = await run(["evaluate", latents, ...drawing, "--out", at("decoded-evaluated"), ...judging]);
    expect(evaluated.code, evaluated.stderr).toBe(0);
    const [cell] = (readJsonFile(at("decoded/pareto.json")) as StudyFile).cells;
    const { scores } = readJsonFile(at("decoded-evaluated/evaluation.json")) as Evaluation;
    expect(cell!.score.estimate).toBe(scores[0]!.value);
    expect(cell!.judgedBy).toMatchObject({
      decoder: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/), tiled: false },
    });
  }, 60_000);

  test("--dry-run says how many cells there are and how long they take, and writes nothing", async () => {
    const { code, stdout } = await studying("dry", "--steps", "ddim2,ddim4", "--blocks", "0,2", "--dry-run");
    expect([code, existsSync(at("dry"))]).toEqual([0, false]);
    expect(stdout.split("\n").slice(0, 3)).toEqual([
      "4 cells of 20 images, 0 of them done; nothing is written",
      "times: 4 in each of 5 rounds, 0 of them taken",
      expect.stringMatching(/^4 blocks: cells: 2, about 0:\d\d; times: 10, about 0:\d\d$/),
    ]);
    expect(stdout).toMatch(
      /together about 0:\d\d of sampling and 0:\d\d of timing, estimated by one batch of each kind; compiling and scoring are not included\n$/,
    );
    await studying("dry-done", "--blocks", "0,2", "--rounds", "2");
    const before = contents(at("dry-done"));
    const more = await studying("dry-done", "--blocks", "0,2", "--rounds", "3", "--dry-run");
    expect(more.stdout).toContain(
      "times: 2 in each of 3 rounds, 4 of them taken\n4 blocks: cells: 0, about 0:00; times: 1, about 0:0",
    );
    expect(contents(at("dry-done"))).toEqual(before);
  }, 60_000);

  test("a batch of one is drawn and timed as one of two", async () => {
    const draw = (batch: string) =>
      run(["pareto", deep, "--out", at("one"), ...tiny, "--rounds", "1", "--batch", batch]);
    const one = await draw("1");
    expect(one.code, one.stderr).toBe(0);
    expect(one.stderr).toContain("--batch 1: images are sampled and timed two at a time");
    const two = await draw("2"); // finds all cells and times
    expect([two.code, two.stderr]).toEqual([0, expect.not.stringMatching(/--batch|round/)]);
  }, 60_000);

  test("stopped, says how it goes on", async () => {
    const stopped = await run(["pareto", deep, "--out", at("stopped"), ...tiny], AbortSignal.abort());
    expect([stopped.code, stopped.stderr]).toEqual([130, expect.stringMatching(/the same command resumes\n$/)]);
  });
});
