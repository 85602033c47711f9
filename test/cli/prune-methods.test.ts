/** `prune --method …`: every method from the command line, on every family. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import type { DecisionFile } from "../../src/pruning/decision.ts";
import { type Method, methods, pruners } from "../../src/pruning/pruners.ts";
import { loadModel } from "../../src/weights/model-file.ts";
import { contents, plantImages, plantModel, readJsonFile, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "prune-methods-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...names: string[]): string => join(folder, ...names);
const tinyMar = {
  ...{ family: "mar", inputSize: 28, patchSize: 14, inChannels: 1, numClasses: 10, bufferSize: 2 },
  ...{ encoderDepth: 2, encoderSize: 8, encoderHeads: 2, decoderDepth: 2, decoderSize: 8, decoderHeads: 2 },
  ...{ denoiserDepth: 1, denoiserSize: 8 },
};
const families = {
  dit: [tinyConfig, {}],
  sit: [
    { ...tinyConfig, family: "sit" },
    { process: { kind: "flow", path: "linear", prediction: "velocity", weighting: "none" } },
  ],
  mar: [tinyMar, { process: { kind: "tokens", schedule: "linear", steps: 50, copies: 2 } }],
} as const;
let images: string[] = [];

beforeAll(async () => {
  images = plantImages(folder);
  for (const [name, [config, facts]] of Object.entries(families)) {
    await plantModel(at(`${name}.safetensors`), config, facts);
  }
});

const isMeasuring = (method: Method): boolean => method !== "learned" && pruners[method].needs === "calibration";

/** The options a method needs to run quickly. */
const quick = (method: Method): string[] => [
  ...(isMeasuring(method) ? [...images, "--calibration", "18", "--threads", "1"] : []),
  ...(method === "random-median" || method === "min-loss" ? ["--candidates", "4"] : []),
  ...(method === "indices" ? ["--blocks", "0,2"] : []),
  ...(method === "learned" ? [...images, "--steps", "2", "--batch-size", "2", "--threads", "1"] : []),
];
const pruneWith = (family: string, method: Method, ...more: string[]) =>
  run(["prune", at(`${family}.safetensors`), "--method", method, ...quick(method), ...more]);
const decisionIn = (out: string) => readJsonFile(at(out, "decision.json")) as DecisionFile;

describe.each(Object.keys(families))("%s", (family) => {
  it.each(methods)("%s writes a decision and a model that says what it is", async (method) => {
    const out = `${family}-${method}`;
    const { code, stdout, stderr } = await pruneWith(family, method, "--out", at(out));
    expect(code, stderr).toBe(0);
    const decision = decisionIn(out);
    expect(decision).toMatchObject({ method, depth: 4 });
    expect(decision.kept.map((block) => block >> 1)).toEqual([0, 1]); // one of each group of two
    expect(stdout).toContain(`kept ${decision.kept.join(",")} of 4\n`);
    const pruned = await loadModel(at(out, "pruned.safetensors"));
    expect(pruned.model.config.depth).toBe(2);
    const parent = await loadModel(at(`${family}.safetensors`));
    const groups = method === "indices" ? undefined : "1:2";
    expect(pruned.prunings).toMatchObject([{ parent: parent.sha256, parentDepth: 4, kept: decision.kept }]);
    expect(pruned.prunings[0]!.groups).toBe(groups);
    expect(decision.groups).toBe(groups);
    if (method !== "learned") expect(decision.seconds).toBeGreaterThanOrEqual(0);
    if (!isMeasuring(method)) return;
    expect(decision.calibration).toMatchObject({ examples: 18, seed: 0, process: parent.process });
    expect(decision.settings).toMatchObject({ calibration: 18, groups: "1:2", seed: 0 });
    expect((decision.scores ?? decision.losses)!.length).toBeGreaterThan(0);
  });

  it.each(methods)("%s has a plan that writes nothing", async (method) => {
    const before = contents(folder);
    const { code, stdout, stderr } = await pruneWith(family, method, "--dry-run", "--out", at("never"));
    expect(code, stderr).toBe(0);
    expect(contents(folder)).toEqual(before);
    expect(stdout).toMatch(
      isMeasuring(method) || method === "learned" ? /: the plan; nothing is written\n/ : /^prune: keeps 2 of 4 blocks/,
    );
    if (isMeasuring(method)) expect(stdout).toMatch(/\n {2}work +\d+ pass(es)? forward over them/);
  });
});

test("a plain budget: per stack, without groups", async () => {
  const even = await pruneWith("mar", "flux-lite", "--keep", "2", "--out", at("budget"));
  expect(even.code, even.stderr).toBe(0);
  expect(decisionIn("budget").budget).toEqual([1, 1]);
  expect(decisionIn("budget").groups).toBeUndefined();
  expect(decisionIn("budget").settings).not.toHaveProperty("groups");
  expect((await loadModel(at("budget", "pruned.safetensors"))).prunings[0]!.groups).toBeUndefined();
  expect((await pruneWith("mar", "uniform", "--keep", "2,1", "--out", at("uneven"))).code).toBe(0);
  expect(decisionIn("uneven").kept).toEqual([0, 1, 2]);
  expect((await pruneWith("dit", "oracle", "--keep", "3", "--layer-map", "next-kept", "--out", at("three"))).code).toBe(
    0,
  );
  expect((await loadModel(at("three", "pruned.safetensors"))).prunings[0]!.layerMap).toEqual([
    [0, 0],
    [1, 2],
    [2, 3],
  ]);
});

test("--blocks alone is the method indices; the same command may be repeated", async () => {
  const argv = ["prune", at("dit.safetensors"), "--blocks", "1,3", "--out", at("named")];
  for (let i = 0; i < 2; i++) expect((await run(argv)).code).toBe(0);
  expect(decisionIn("named")).toMatchObject({ method: "indices", kept: [1, 3] });
  expect(Object.keys(readJsonFile(at("named", "config.json")) as object)).not.toContain("method");
  const { code, stderr } = await run([...argv.slice(0, 3), "0,1", ...argv.slice(4)]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/holds a run with other settings \(blocks: was "1,3", now "0,1"\)/);
});

test("a seed draws another mask and another calibration set", async () => {
  const score = async (seed: string) => {
    const { code, stderr } = await pruneWith("dit", "shortgpt", "--seed", seed, "--out", at(`seed-${seed}`));
    expect(code, stderr).toBe(0);
    return decisionIn(`seed-${seed}`).scores;
  };
  expect(await score("1")).not.toEqual(await score("2"));
});

test("the original's block influence keeps the last block unless told otherwise", async () => {
  const clean = ["--bi", "clean-latents"];
  expect((await pruneWith("dit", "shortgpt", ...clean, "--out", at("clean"))).code).toBe(0);
  expect(decisionIn("clean").kept).toContain(3);
  expect(decisionIn("clean").settings).toMatchObject({ bi: "clean-latents", protectLast: "on" });
  expect((await pruneWith("dit", "shortgpt", ...clean, "--protect-last", "off", "--out", at("free"))).code).toBe(0);
  expect(decisionIn("free").settings).toMatchObject({ protectLast: "off" });
  expect(decisionIn("free").scores).toEqual(decisionIn("clean").scores);
});

test("stopped: no folder is left, and one that was there stays as it was", async () => {
  const stopped = AbortSignal.abort(new Error("stopped"));
  const argv = ["prune", at("dit.safetensors"), "--method", "loss-greedy", ...quick("loss-greedy"), "--out"];
  const { code, stderr } = await run([...argv, at("stopped")], stopped);
  expect(code).toBe(130);
  expect(stderr).toContain("stopped; nothing was written");
  expect(existsSync(at("stopped"))).toBe(false);
  expect((await run([...argv, at("whole")])).code).toBe(0);
  const before = decisionIn("whole");
  expect((await run([...argv, at("whole")], stopped)).code).toBe(130);
  expect(decisionIn("whole")).toEqual(before);
});

const wrong: Readonly<Record<string, [() => string[], number, RegExp]>> = {
  "an unknown method": [() => ["--method", "luck"], 2, /--method expects one of learned, shortgpt, .*, got luck/],
  "named blocks and another method": [
    () => ["--method", "uniform", "--blocks", "0,1"],
    2,
    /--method uniform and --blocks exclude each other: --blocks is for indices/,
  ],
  "no named blocks": [() => ["--method", "indices"], 2, /--blocks is required by --method indices/],
  "learning options of a score": [
    () => ["--method", "shortgpt", "--tau-start", "2"],
    2,
    /--method shortgpt and --tau-start exclude each other: --tau-start is for learned/,
  ],
  "data of a rule": [
    () => ["--method", "oracle", "--data", "digits"],
    2,
    /--method oracle and --data exclude each other: --data is for learned, shortgpt, /,
  ],
  "candidates of a score": [
    () => ["--method", "taylor", "--candidates", "3"],
    2,
    /--candidates exclude each other: --candidates is for random-median, min-loss/,
  ],
  "a budget that is learned": [
    () => ["--keep", "2"],
    2,
    /--method learned and --keep exclude each other: --keep is for shortgpt/,
  ],
  "a budget and groups": [
    () => ["--method", "uniform", "--keep", "2", "--groups", "1:2"],
    2,
    /--keep and --groups exclude each other: both say how many blocks are kept/,
  ],
  "a budget paired by groups": [
    () => ["--method", "uniform", "--keep", "2", "--layer-map", "group"],
    2,
    /--keep and --layer-map group exclude each other: there are no groups; use --layer-map next-kept/,
  ],
  "groups that do not fit": [
    () => ["--method", "random", "--groups", "1:3"],
    1,
    /4 blocks do not divide into groups of 3/,
  ],
  "a budget out of range": [() => ["--method", "random", "--keep", "5"], 1, /--keep 5: expected a number from 1 to 4/],
  "pairs that do not fit": [
    () => ["--method", "flux-lite", "--layer-map", "2:3"],
    1,
    /--layer-map 2:3: 2:3 is out of range; the student has blocks 0 to 1, the teacher 0 to 3/,
  ],
  "more examples than there are": [
    () => ["--method", "sensitivity", ...images, "--calibration", "41"],
    1,
    /--calibration 41: expected 1 to 40, the number of examples in the data/,
  ],
  "a large micro-batch": [
    () => ["--method", "sensitivity", "--micro-batch", "17"],
    2,
    /--micro-batch expects at most 16 with --method sensitivity, which draws 16 examples at a time; got 17/,
  ],
};

test.each(Object.entries(wrong))("%s: one sentence, and nothing is written", async (_, [
  options,
  expected,
  message,
]) => {
  const before = contents(folder);
  const { code, stderr } = await run(["prune", at("dit.safetensors"), "--out", at("never"), ...options()]);
  expect(stderr).toMatch(message);
  expect(code).toBe(expected);
  expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  expect(contents(folder)).toEqual(before);
});

test("the help has a line for each method", async () => {
  const { stdout } = await run(["prune", "--help"]);
  for (const method of methods) expect(stdout).toMatch(new RegExp(`\\n +${method}: `));
});
