/** Pruned checkpoints: the kept blocks under new numbers, describing themselves. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { processOf } from "../../src/diffusion/process.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { input } from "../../src/graph/build.ts";
import { type Model, modelOf, predictor } from "../../src/models/registry.ts";
import { initialWeights } from "../../src/nn/init.ts";
import { Params } from "../../src/nn/params.ts";
import { type RunBlock, runAll, runOnly } from "../../src/nn/run-block.ts";
import { parseGroups } from "../../src/pruning/groups.ts";
import { keepBlocks, parseKept, savePruned } from "../../src/pruning/keep-blocks.ts";
import { layerMap } from "../../src/pruning/layer-map.ts";
import { loadModel, saveModel, weightSpecs } from "../../src/weights/model-file.ts";
import { model } from "./mask-pair.ts";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-keep-"));
afterAll(() => rmSync(folder, { recursive: true }));
const facts = {
  weights: "raw",
  images: 7,
  prunings: [],
  process: { kind: "gaussian", schedule: "linear", steps: 1000 },
} as const;

function awake(): Map<string, NDArray<"float32">> {
  const weights = initialWeights(weightSpecs(model), 0);
  for (const [name, value] of weights) {
    const noise = normals({ seed: 1, purpose: name, step: 0, index: 0 }, value.size);
    for (let i = 0; i < value.size; i++) value.data[i] = value.data[i]! + 0.1 * noise[i]!;
  }
  return weights;
}

async function output(of: Model, weights: ReadonlyMap<string, NDArray>, runBlock: RunBlock = runAll): Promise<NDArray> {
  const inputs = { x: input("x", [2, 1, 8, 8]), t: input("t", [2]), y: input("y", [2], "int32") };
  const session = await cpuEngine({ threads: 1 }).compile({
    outputs: { output: predictor(of, new Params(), runBlock)(inputs) },
  });
  const x = float32(normals({ seed: 0, purpose: "x", step: 0, index: 0 }, 128), [2, 1, 8, 8]);
  return (await runAndRead(session, { ...Object.fromEntries(weights), x, t: float32([3, 500]), y: int32([1, 2]) }))
    .output!;
}

describe("keeping blocks", () => {
  it("prune → save → load computes what running only these blocks computes, bit for bit", async () => {
    const weights = awake();
    const parentPath = join(folder, "parent.safetensors");
    await saveModel(parentPath, model, weights, facts);
    const parent = await loadModel(parentPath);
    const kept = [0, 3];
    const path = join(folder, "pruned.safetensors");
    await savePruned(path, parent, { kept, layerMap: layerMap("paper", 4, kept) });
    const pruned = await loadModel(path);
    expect(pruned.model.config.depth).toBe(2);
    const [whole, shallow] = [await output(model, weights, runOnly(kept)), await output(pruned.model, pruned.tensors)];
    expect([...shallow.data]).toEqual([...whole.data]);
  });

  it("describes its past, also when a pruned model is pruned again", async () => {
    const parent = await loadModel(join(folder, "pruned.safetensors"));
    const path = join(folder, "again.safetensors");
    await savePruned(path, parent, { kept: [1], layerMap: [[0, 1]] });
    const { prunings, images, model: again } = await loadModel(path);
    expect(again.config.depth).toBe(1);
    expect(images).toBe(7);
    expect(prunings.map(({ kept, parentDepth }) => ({ kept, parentDepth }))).toEqual([
      { kept: [0, 3], parentDepth: 4 },
      { kept: [1], parentDepth: 2 },
    ]);
    expect(prunings[1]!.parent).toBe(parent.sha256);
  });

  it("prunes two stacks, each by its own groups, and again", async () => {
    const whole = modelOf({
      ...{ family: "mar", inputSize: 4, patchSize: 2, inChannels: 1, numClasses: 2, bufferSize: 1 },
      ...{ encoderDepth: 4, encoderSize: 8, encoderHeads: 2, decoderDepth: 4, decoderSize: 12, decoderHeads: 2 },
      ...{ denoiserDepth: 1, denoiserSize: 4 },
    });
    const path = (depth: number) => join(folder, `two-stacks-${depth}.safetensors`);
    const process = processOf("tokens", { steps: 50 });
    await saveModel(path(8), whole, initialWeights(weightSpecs(whole), 3), { ...facts, process });
    for (const [depth, kept] of [
      [8, [1, 2, 4, 7]],
      [4, [0, 3]],
    ] as const) {
      const parent = await loadModel(path(depth));
      const stacks = parent.model.family.stacks(parent.model.config);
      const groups = parseGroups("1:2", stacks);
      const plan = { kept, groups, layerMap: layerMap("paper", stacks, kept, groups) };
      await savePruned(path(depth / 2), parent, plan);
    }
    const { model: small, tensors, prunings, process: kind } = await loadModel(path(2));
    expect(small.family.stacks(small.config)).toEqual([1, 1]);
    expect(small.config).toEqual({ ...whole.config, encoderDepth: 1, decoderDepth: 1, depth: 2 });
    expect(prunings.map(({ parent: _, ...pruning }) => pruning)).toEqual([
      { parentDepth: 8, kept: [1, 2, 4, 7], groups: "1:2", layerMap: [0, 1, 2, 3].map((i) => [i, 2 * i + 1]) },
      { parentDepth: 4, kept: [0, 3], groups: "1:2", layerMap: [0, 1].map((i) => [i, 2 * i + 1]) },
    ]);
    expect(kind).toEqual(process);
    const root = initialWeights(weightSpecs(whole), 3);
    for (const [stored, first] of [
      ["encoder_blocks.0", "encoder_blocks.1"],
      ["decoder_blocks.0", "decoder_blocks.3"],
    ] as const) {
      expect(tensors.get(`${stored}.mlp.fc1.weight`)).toEqual(root.get(`${first}.mlp.fc1.weight`));
    }
  });

  it("renames blocks by position and leaves everything else alone", () => {
    const names = [...keepBlocks(model, awake(), [2]).keys()];
    expect(names).toContain("blocks.0.attn.qkv.weight");
    expect(names.some((name) => name.startsWith("blocks.1."))).toBe(false);
    expect(names).toContain("final_layer.linear.bias");
  });

  it.each([
    [[3, 1]],
    [[1, 1]],
    [[0, 4]],
    [[-1, 2]],
    [[0.5]],
    [[Number.NaN]],
  ])("refuses %j: blocks in another order, twice, or that are not there", (kept) => {
    const message = `kept blocks [${kept.join(", ")}]: expected ascending block numbers from 0 to 3, each once`;
    expect(() => keepBlocks(model, awake(), kept)).toThrow(message);
    expect(() => model.family.keep(model.config, kept)).toThrow(message);
  });

  it("refuses to keep nothing", () => {
    expect(() => keepBlocks(model, awake(), [])).toThrow("expected at least one block");
  });

  it.each([
    ["0,9", /expected block numbers from 0 to 3, found "9"/],
    ["0,0", /`blocks` 0,0: expected each block once/],
    ["a", /found "a"/],
    ["-1", /found "-1"/],
  ])("refuses kept blocks %s", (text, message) => {
    expect(() => parseKept(text, 4)).toThrow(message);
  });
});
