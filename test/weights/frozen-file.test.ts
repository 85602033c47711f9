/** Frozen weights in an external file give the results of weights that are fed. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { float32, int32 } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { input } from "../../src/graph/build.ts";
import { predictor } from "../../src/models/registry.ts";
import { Params } from "../../src/nn/params.ts";
import { cpuEngine } from "../../src/onnx/node-engine.ts";
import { frozenFile } from "../../src/weights/frozen-file.ts";
import { saveModel, weightSpecs } from "../../src/weights/model-file.ts";
import { awakeWeights, tinyModel } from "../training/tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-frozen-"));
afterAll(() => rmSync(folder, { recursive: true }));

const model = tinyModel();
const weights = awakeWeights(weightSpecs(model));
const facts = {
  weights: "raw",
  images: 0,
  prunings: [],
  process: { kind: "gaussian", schedule: "linear", steps: 1000 },
} as const;
const path = join(folder, "model.safetensors");
await saveModel(path, model, weights, facts);

function output(p: Params) {
  const inputs = { x: input("x", [2, 1, 8, 8]), t: input("t", [2]), y: input("y", [2], "int32") };
  return { outputs: { output: predictor(model, p)(inputs) } };
}

const batch = {
  x: float32(normals({ seed: 0, purpose: "x", step: 0, index: 0 }, 128), [2, 1, 8, 8]),
  t: float32([3, 500]),
  y: int32([1, 2]),
};

it("a session that maps the file computes what a session that is fed computes", async () => {
  const engine = cpuEngine({ threads: 1 });
  const fed = await (await engine.compile(output(new Params()))).run({ ...Object.fromEntries(weights), ...batch });
  const frozen = await engine.compile(output(new Params().at("teacher")), await frozenFile(path, "teacher."));
  expect([...(await frozen.run(batch)).output!.data]).toEqual([...fed.output!.data]);
});

it("refuses weights that are not float32", async () => {
  const half = join(folder, "half.safetensors");
  await saveModel(half, model, weights, facts, true);
  await expect(frozenFile(half)).rejects.toThrow(/frozen weights must be float32/);
});
