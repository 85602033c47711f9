import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { processOf } from "../../src/diffusion/process.ts";
import { loadModel } from "../../src/weights/model-file.ts";
import { contents, plantImages, plantModel, run } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "dry-run-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...parts: string[]): string => join(folder, ...parts);
const model = at("model.safetensors");
const tinyMar = {
  ...{ family: "mar", inputSize: 28, patchSize: 14, inChannels: 1, numClasses: 10, bufferSize: 2 },
  ...{ encoderDepth: 2, encoderSize: 8, encoderHeads: 2, decoderDepth: 2, decoderSize: 8, decoderHeads: 2 },
  ...{ denoiserDepth: 1, denoiserSize: 8 },
};
let common: string[] = [];

beforeAll(async () => {
  await plantModel(model);
  const { tensors } = await loadModel(model);
  parameters = Array.from(tensors.values()).reduce((sum, { size }) => sum + size, 0);
  trainable = parameters - tensors.get("pos_embed")!.size;
  common = [
    "--dry-run",
    "--out",
    at("never"),
    "--threads",
    "1",
    "--steps",
    "50",
    "--batch-size",
    "8",
    ...plantImages(folder),
  ];
});

/** The plan's rows by name; nothing may have been written. */
async function plan(command: string, ...args: string[]): Promise<Record<string, string>> {
  const before = contents(folder);
  const { code, stdout, stderr } = await run([command, ...common, ...args]);
  expect(code, stderr).toBe(0);
  expect(contents(folder)).toEqual(before);
  const [title, ...rows] = stdout.trimEnd().split("\n");
  expect(title).toBe(`${command}: the plan; nothing is written`);
  return Object.fromEntries(rows.map((row) => row.trim().split(/ {2,}/, 2) as [string, string]));
}

let [parameters, trainable] = [0, 0];
const number = (n: number) => n.toLocaleString("en-US");

test("train: steps, images, parameters, memory and time", async () => {
  const rows = await plan("train", "--init", model, "--micro-batch", "4");
  expect(rows.folder).toBe(at("never"));
  expect(rows.steps).toBe("50 of 8 images: 400 images seen, 10 passes over 40");
  expect(rows["micro-batches"]).toBe("2 of 4 images a step");
  expect(rows.model).toBe(`dit, 4 blocks, ${number(parameters)} parameters, 1 × 28 × 28, 10 classes`);
  expect(rows.trained).toBe(`${number(trainable)} parameters`);
  expect(rows.memory).toMatch(
    /^about \S+ MB: weights .*gradients .*moments .*EMA .*tensors of a micro-batch .*program and data/,
  );
  expect(rows.arithmetic).toMatch(/^[\d.]+ GFLOP a step in matrix products$/);
  expect(rows.time).toMatch(/^about \d+:\d\d: 3 steps measured now, \S+ s a step$/);
});

test("prune: groups, options, kept blocks, and only adapters and gates trained", async () => {
  const rows = await plan("prune", model, "--groups", "1:2", "--lora-rank", "2");
  expect(rows.groups).toBe("2 of 1:2 with 2 patterns each; 4 gates");
  expect(rows.kept).toBe("2 of 4 blocks");
  expect(Number(rows.trained!.split(" ")[0]!.replaceAll(",", ""))).toBeLessThan(trainable);
  expect((await plan("prune", model, "--groups", "1:2", "--delta", "none")).trained).toBe("4 parameters");
});

test("prune --blocks: what stays, without any step", async () => {
  const before = contents(folder);
  const { code, stdout } = await run(["prune", model, "--blocks", "0,3", "--dry-run", "--out", at("never")]);
  expect(code).toBe(0);
  expect(stdout).toBe("prune: keeps 2 of 4 blocks (0,3), learns nothing; nothing is written\n");
  expect(contents(folder)).toEqual(before);
});

test("prune: of a MAR, whose number of tokens changes from step to step too", async () => {
  const mar = await plantModel(at("mar.safetensors"), tinyMar, { process: processOf("tokens") });
  const rows = await plan("prune", mar, "--groups", "1:2");
  expect(rows.model).toMatch(/^mar, 2 \+ 2 blocks/);
  expect(Number(/^([\d.]+) GFLOP/.exec(rows.arithmetic!)![1])).toBeGreaterThan(0);
});

test("finetune: both models and the layer map", async () => {
  const rows = await plan("finetune", model, "--teacher", model, "--layer-map", "0:1,1:3");
  expect(rows["layer map"]).toBe("0→1 1→3");
  expect(rows.student).toBe(rows.teacher);
  expect(rows.trained).toBe(`${number(trainable)} parameters`);
});

test("a run too large to try is estimated, and says so", async () => {
  const rows = await plan("train", "--init", model, "--batch-size", "4000000", "--micro-batch", "4");
  expect(rows.time).toMatch(/^about \S+: assumes 50 GFLOPS a thread; not measured, because a step takes about /);
});

test("a wrong setting is as wrong without a run", async () => {
  const { code, stderr } = await run(["prune", model, "--groups", "1:3", ...common]);
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^tinyfusion: --groups 1:3: the model's 4 blocks do not divide/),
  ]);
});
