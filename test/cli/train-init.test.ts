import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { encodeTorch } from "../../src/formats/torch/encode-torch.ts";
import { modelOf } from "../../src/models/registry.ts";
import { writeAtomically } from "../../src/storage/atomic-write.ts";
import { loadModel, weightSpecs } from "../../src/weights/model-file.ts";
import { awakeWeights } from "../training/tiny.ts";
import { plantImages, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-train-init-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const weights = awakeWeights(weightSpecs(modelOf(tinyConfig)));

beforeAll(async () => {
  await writeAtomically(at("tiny.pt"), encodeTorch(weights));
  writeFileSync(at("tiny.json"), JSON.stringify(tinyConfig));
});

const training = (out: string, ...more: string[]) =>
  run([
    ...["train", "--init", at("tiny.pt"), "--out", out, "--steps", "1", "--batch-size", "2", "--threads", "1"],
    ...["--learning-rate", "0", ...plantImages(folder), ...more],
  ]);

test("train goes on from a .pt that does not say what it is", async () => {
  const { code, stderr } = await training(at("run"), "--model-config", at("tiny.json"));
  expect(code, stderr).toBe(0);
  const { tensors } = await loadModel(join(at("run"), "checkpoints/step-00000001/weights.safetensors"));
  for (const [name, { data }] of weights) expect(tensors.get(name)!.data, name).toEqual(data);
});

test("the preset that train has by default is not taken for what the file is", async () => {
  const { code, stderr } = await training(at("asked"));
  expect([code, existsSync(at("asked"))]).toEqual([1, false]);
  expect(stderr).toMatch(/tiny\.pt does not say what model it is, and no preset has .*give that with --model-config/);
});

test("a preset that was given and does not fit is refused", async () => {
  const { code, stderr } = await training(at("refused"), "--model", "DiT-Digits");
  expect([code, existsSync(at("refused"))]).toEqual([1, false]);
  expect(stderr).toMatch(/tiny\.pt does not fit the model/);
});

test("--weights without --init would mean nothing", async () => {
  const { code, stderr } = await run(["train", "--weights", "ema", "--out", at("no-init")]);
  expect([code, stderr]).toEqual([2, expect.stringContaining("--weights exclude each other: it chooses among")]);
});
