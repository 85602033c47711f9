/** `tinyfusion prune-width` from end to end: the narrow model goes wherever a model goes. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { contents, plantImages, plantModel, readJsonFile, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "prune-width-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

const calibration = ["--examples", "5", "--timesteps", "4", "--micro-batch", "2"];
let data: string[];
let teacher: string;
let narrow: string;

beforeAll(async () => {
  data = plantImages(folder);
  teacher = await plantModel(at("teacher.safetensors"));
  const { code, stderr } = await run([
    "prune-width",
    teacher,
    "--mlp",
    "0.25",
    ...calibration,
    ...data,
    "--out",
    at("narrow"),
  ]);
  expect([code, stderr.includes("step 24/24")], stderr).toEqual([0, true]);
  narrow = join(at("narrow"), "pruned.safetensors");
});

describe("the narrow model", () => {
  test("is told of with its scores, widths and costs", async () => {
    const widths = readJsonFile(join(at("narrow"), "widths.json")) as {
      kept: { heads: number[]; channels: number[] }[];
      scores: { heads: number[]; channels: number[] }[];
      losses: object[];
    };
    expect(widths.kept.map(({ heads, channels }) => [heads.length, channels.length])).toEqual(Array(4).fill([1, 8]));
    for (const [block, { heads }] of widths.scores.entries()) {
      expect(widths.kept[block]!.heads).toEqual([heads[1]! > heads[0]! ? 1 : 0]);
    }
    expect(widths.losses).toHaveLength(4);
    const { stdout } = await run(["inspect", at("narrow")]);
    expect(stdout).toMatch(/numHeads 2 {2}mlpRatio 4 {2}keptHeads 1 {2}mlpSize 8/);
    expect(stdout).toMatch(/pruning 1 +kept 4 of 4/);
    expect(stdout).toMatch(/width +1 of 2 heads, 8 of 32 MLP channels, chosen by diff-pruning/);
    const json = JSON.parse((await run(["inspect", narrow, "--json"])).stdout);
    expect(json.model.prunings[0].width.heads).toEqual({
      of: 2,
      removed: widths.kept.map(({ heads }) => `${1 - heads[0]!}`),
    });
  });

  test("is written again with the same bytes", async () => {
    const before = readFileSync(narrow);
    const command = ["prune-width", teacher, "--mlp", "0.25", ...calibration, ...data, "--out", at("narrow")];
    expect((await run(command)).code).toBe(0);
    expect(readFileSync(narrow).equals(before)).toBe(true);
    const other = await run([...command, "--seed", "1"]);
    expect([other.code, other.stderr]).toEqual([1, expect.stringContaining("holds a run with other settings (seed")]);
  });

  test("is sampled, fine-tuned with the wide teacher, pruned in depth, exported, and converted and read back", async () => {
    const step = ["--steps", "1", "--batch-size", "4"];
    const recovered = await run(["finetune", narrow, "--teacher", teacher, ...data, ...step, "--out", at("recovered")]);
    expect(recovered.code, recovered.stderr).toBe(0);
    expect(recovered.stderr).toMatch(/features [\d.]+/);
    const shallow = await run(["prune", narrow, "--groups", "1:2", ...data, ...step, "--out", at("shallow")]);
    expect(shallow.code, shallow.stderr).toBe(0);
    expect((await run(["export", narrow, "--onnx", "--out", at("onnx")])).code).toBe(0);
    expect((await run(["convert", narrow, "--to", "pt", "--out", at("narrow.pt")])).code).toBe(0);
    writeFileSync(at("config.json"), JSON.stringify({ ...tinyConfig, keptHeads: 1, mlpSize: 8 }));
    const draw = ["--count", "2", "--steps", "2", "--out"];
    expect((await run(["sample", narrow, ...draw, at("a")])).code).toBe(0);
    expect((await run(["sample", at("narrow.pt"), "--model-config", at("config.json"), ...draw, at("b")])).code).toBe(
      0,
    );
    const samples = (name: string) => readFileSync(join(at(name), "samples.safetensors"));
    expect(samples("a").equals(samples("b"))).toBe(true);
    const diffusers = await run(["convert", narrow, "--to", "diffusers", "--out", at("diffusers")]);
    expect([diffusers.code, existsSync(at("diffusers"))]).toEqual([1, false]);
    expect(diffusers.stderr).toMatch(/pruned in width/);
  });
});

test("other criteria choose other units, without images where they need none", async () => {
  const chosen = async (criterion: string, ...more: string[]) => {
    const out = at(`by ${criterion}`);
    const ran = await run(["prune-width", teacher, "--criterion", criterion, ...more, "--out", out]);
    expect(ran.code, ran.stderr).toBe(0);
    return JSON.stringify((readJsonFile(join(out, "widths.json")) as { kept: unknown }).kept);
  };
  const all = [await chosen("magnitude"), await chosen("random"), await chosen("taylor", ...calibration, ...data)];
  expect(new Set(all).size).toBe(3);
});

test("a dry run prints what it would cost and writes nothing", async () => {
  mkdirSync(at("dry"));
  const { code, stdout } = await run(["prune-width", teacher, "--dry-run", "--out", at("dry")]);
  expect([code, contents(at("dry"))]).toEqual([0, []]);
  expect(stdout).toMatch(/before +2 +32 +[\d,]+ +\d/);
  expect(stdout).toMatch(/after +1 +16 +[\d,]+ +\d/);
});

test("what is stopped leaves nothing", async () => {
  const stop = new AbortController();
  stop.abort();
  const ran = await run(["prune-width", teacher, ...calibration, ...data, "--out", at("stopped")], stop.signal);
  expect(ran.code).toBe(130);
  expect(ran.stderr).toMatch(/stopped; nothing was written/);
  expect(existsSync(at("stopped"))).toBe(false);
});

test.each(["new", "empty"])("a mistake claims no %s folder: the corrected command runs", async (what) => {
  if (what === "empty") mkdirSync(at("empty"));
  const argv = ["prune-width", teacher, ...calibration.slice(0, 2), ...calibration.slice(4), "--out", at(what)];
  const few = ["--timesteps", "4"];
  const wrong = [
    [...few, "--data", at("nowhere"), "--labels", at("labels.idx")],
    [...data, "--timesteps", "1001"],
  ];
  for (const more of wrong) expect((await run([...argv, ...more])).code).toBe(1);
  expect(existsSync(at(what))).toBe(what === "empty");
  const { code, stderr } = await run([...argv, ...data, ...few]);
  expect(code, stderr).toBe(0);
});

test("other images, weights or threads are told from those before", async () => {
  const argv = ["prune-width", teacher, ...calibration, "--out", at("told")];
  expect((await run([...argv, ...data])).code).toBe(0);
  const pixels = readFileSync(at("images.idx"));
  pixels[100]! ^= 1;
  writeFileSync(at("images.idx"), pixels);
  const other = await run([...argv, ...data]);
  pixels[100]! ^= 1;
  writeFileSync(at("images.idx"), pixels);
  expect([other.code, other.stderr]).toEqual([1, expect.stringMatching(/other settings \(dataSha256: was "\w+", now/)]);
  const ema = await run([...argv, ...data, "--weights", "ema"]);
  expect(ema.stderr).toContain('other settings (weights: was absent, now "ema")');
  const threads = await run([...argv, ...data, "--threads", "1"]);
  expect([threads.code, threads.stderr]).toEqual([
    0,
    expect.stringMatching(/equal only to about 1e-5: threads: was 2/),
  ]);
});

test.each([
  [["--heads", "1", "--mlp", "1"], 2, /keep all 2 heads and 32 MLP channels of each block; give smaller fractions/],
  [["--heads", "1.5"], 2, /--heads expects at most 1/],
  [["--criterion", "magnitude", "--timesteps", "5"], 2, /--criterion magnitude and --timesteps exclude each other/],
  [["--criterion", "taylor", "--threshold", "0.1"], 2, /--criterion taylor and --threshold exclude each other/],
  [
    ["--timesteps", "1001", ...["--examples", "2"]],
    1,
    /diffusion process of the model has 1000 steps; give at most 1000/,
  ],
])("%j is refused", async (flags, code, message) => {
  const ran = await run(["prune-width", teacher, ...flags, "--out", at("refused")]);
  expect([ran.code, ran.stdout]).toEqual([code, ""]);
  expect(ran.stderr).toMatch(message);
});

test("a MAR is refused in a sentence", async () => {
  const mar = await plantModel(
    at("mar.safetensors"),
    {
      ...{ family: "mar", inputSize: 4, patchSize: 2, inChannels: 1, numClasses: 2, bufferSize: 1 },
      ...{ encoderDepth: 1, encoderSize: 8, encoderHeads: 2, decoderDepth: 1, decoderSize: 12, decoderHeads: 2 },
      ...{ denoiserDepth: 1, denoiserSize: 4 },
    },
    { process: { kind: "tokens", schedule: "linear", steps: 10, copies: 1 } },
  );
  const ran = await run(["prune-width", mar, "--out", at("mar")]);
  expect(ran.code).toBe(1);
  expect(ran.stderr).toMatch(
    /expects the blocks of DiT or SiT, found a mar model; prune its depth with tinyfusion prune/,
  );
});
