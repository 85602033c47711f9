/** What holds for every family: one table of models and processes, run through the seams that all of them share. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { float32, type NDArray } from "../../src/array/ndarray.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { add, input, sub } from "../../src/graph/build.ts";
import { fixCapacities } from "../../src/graph/fix-capacities.ts";
import { nodesOf } from "../../src/graph/graph.ts";
import { feedPadder } from "../../src/graph/pad-feeds.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { captureOutputs, type RunBlock, runOnly } from "../../src/nn/run-block.ts";
import { savePruned } from "../../src/pruning/keep-blocks.ts";
import { layerMap } from "../../src/pruning/layer-map.ts";
import { runGated } from "../../src/pruning/mask-execution.ts";
import { loadModel, saveModel, weightSpecs } from "../../src/weights/model-file.ts";
import { expectAlike, mapOf } from "./alike.ts";
import { draw } from "./draw.ts";
import { BATCH, compute, drawBatches, engine, largest, lossAndGradients, termsOf } from "./evaluate.ts";
import { withCapacities } from "./fixed-capacities.ts";
import { type Row, rows } from "./models.ts";
import { type Masks, maskCases, maskFeeds, maskGradients, maskGraph, maskStep } from "./routing.ts";
import { stateDicts } from "./state-dicts.ts";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-families-"));
afterAll(() => rmSync(folder, { recursive: true }));

const everyBlock = ({ model }: Row): number[] => Array.from({ length: model.config.depth }, (_, i) => i);
const listed = (weights: Iterable<readonly [string, { readonly shape: readonly number[] }]>): string[] =>
  Array.from(weights, ([name, { shape }]) => `${name} [${shape}]`).sort();

it.each(stateDicts)("%s declares the weights of the original's state_dict", (_, model, weights) => {
  const specs = weightSpecs(model).map((spec) => [spec.name, spec] as const);
  expect(listed(specs)).toEqual(listed(Object.entries(weights)));
});

describe.each(rows)("$name: weights and blocks", (row) => {
  const { family, config } = row.model;
  const all = everyBlock(row);

  it("are traced under the same names by a loss as by the family", () => {
    const { p } = termsOf(row);
    expect(listed(p.specs().map((spec) => [spec.name, spec]))).toEqual(listed(row.weights));
  });

  it("are numbered in forward order, and a block's weights lie in its scope", () => {
    const features = new Map<number, Tensor>();
    termsOf(row, captureOutputs(features));
    expect([...features.keys()]).toEqual(all);
    expect(family.stacks(config).reduce((total, depth) => total + depth, 0)).toBe(config.depth);
    for (const [block, scope] of family.blockScopes(config).entries()) {
      const { p } = termsOf(row, runOnly(all.filter((other) => other !== block)));
      const left = new Set(p.specs().map(({ name }) => name));
      const gone = [...row.weights.keys()].filter((name) => !left.has(name));
      expect(gone.length).toBeGreaterThan(0);
      expect(gone.filter((name) => !name.startsWith(`${scope}.`))).toEqual([]);
    }
  });

  it("give the same loss and gradients, bit for bit, if all blocks are named", async () => {
    const [plain, named] = [lossAndGradients(row), lossAndGradients(row, runOnly(all))];
    const [a, b] = [await compute(row, plain), await compute(row, named)];
    expect(b).toEqual(a);
    expect(Object.keys(a).length).toBeGreaterThan(row.weights.size / 2);
    const fewer = await compute(row, termsOf(row, runOnly(all.slice(1))).terms);
    expect(fewer.loss).not.toEqual(a.loss);
  });

  it("change the hidden state by the sum of their branches", async () => {
    const errors: Record<string, Tensor> = {};
    const compared: RunBlock = (block, h, index, ...conditioning) => {
      const out = block(h, ...conditioning);
      const byBranches = block.branches.reduce((state, branch) => add(state, branch.delta(state, ...conditioning)), h);
      errors[`block ${index}`] = sub(byBranches, out);
      errors[`delta ${index}`] = sub(out, h);
      return out;
    };
    termsOf(row, compared);
    const found = await compute(row, errors);
    for (const i of all) {
      expect(largest(found[`delta ${i}`]!)).toBeGreaterThan(0.01);
      expect(largest(found[`block ${i}`]!)).toBeLessThan(1e-6);
    }
  });

  it("run as named when masks blend them, and draw dropout masks only in training", async () => {
    const gated = termsOf(row, runGated(input("masks", [BATCH, config.depth]))).terms;
    const kept = [0, 3];
    const mask = all.map((i) => Number(kept.includes(i)));
    const masks = float32(Array.from({ length: BATCH }, () => mask).flat(), [BATCH, config.depth]);
    const wanted = await compute(row, termsOf(row, runOnly(kept)).terms);
    expectAlike(mapOf(await compute(row, gated, { masks })), mapOf(wanted), 1e-5);
    for (const isTraining of [true, false]) {
      const ops = new Set(nodesOf([termsOf(row, undefined, isTraining).terms.loss]).map(({ op }) => op));
      expect(ops.has("bernoulli")).toBe(row.hasDropout && isTraining);
    }
  });
});

describe.each(rows)("$name: routed execution", (row) => {
  let dense: Awaited<ReturnType<typeof maskGradients>>;
  beforeAll(async () => {
    dense = await maskGradients(row, "dense", BATCH);
  });

  it.each([BATCH, 2, 3])("in micro-batches of %i has the loss and all gradients of dense masking", async (rows) => {
    const routed = await maskGradients(row, "routed", rows);
    for (const [title, masks] of Object.entries(maskCases)) {
      const [found, wanted] = [await routed(masks), await dense(masks)];
      expect(largest(wanted.get("masks")!), title).toBeGreaterThan(1e-3);
      expectAlike(found, wanted, 1e-5);
    }
  }, 20_000);

  it("computes the same with fixed capacities", async () => {
    const step = maskStep(row, "routed", BATCH);
    const [batch] = await drawBatches(row, BATCH);
    const whole = Object.fromEntries([...step.initial, ...Object.entries(step.fixed)]);
    const feedsOf = (masks: Masks) => ({ ...whole, ...batch, ...maskFeeds(step, row, masks, 0, BATCH).feeds });
    const graph = withCapacities(maskGraph(step), feedsOf(maskCases["all keep all"]!), BATCH + 1);
    const [dynamic, fixed] = [await engine.compile(graph), await engine.compile(fixCapacities(graph))];
    for (const masks of Object.values(maskCases)) {
      const feeds = feedsOf(masks);
      const wanted = await runAndRead(dynamic, feeds);
      const padded = await runAndRead(fixed, feedPadder(graph)(feeds));
      const found = Object.entries(padded).map(([name, x]) => [name, firstRows(x, wanted[name]!.shape[0])] as const);
      expectAlike(new Map(found), mapOf(wanted), 1e-5);
    }
  }, 20_000);
});

/** What a padded result holds of `count` rows; a number stays as it is. */
const firstRows = (x: NDArray, count: number | undefined): NDArray => (count === undefined ? x : x.rows(0, count));

describe.each(rows)("$name: a pruned model", (row) => {
  it.each([[[0, 3]], [[2, 3]], [[1]]])("with blocks %j computes what its parent does with them", async (kept) => {
    const { model, process, weights } = row;
    const path = (name: string) => join(folder, `${row.name} ${name} ${kept}.safetensors`);
    await saveModel(path("whole"), model, weights, { weights: "raw", images: 7, prunings: [], process });
    const parent = await loadModel(path("whole"));
    const depths = model.family.stacks(model.config);
    await savePruned(path("pruned"), parent, { kept, layerMap: layerMap("paper", depths, kept) });
    const pruned = await loadModel(path("pruned"));
    expect(pruned.process).toEqual(process);
    const slim: Row = { ...row, model: pruned.model, weights: pruned.tensors };
    const [found, wanted] = [
      await compute(slim, termsOf(slim, undefined, false).terms),
      await compute(row, termsOf(row, runOnly(kept), false).terms),
    ];
    expect(found).toEqual(wanted);
    const [sampling] = Object.values(row.samplers);
    expect(await draw(slim, 3, sampling)).toEqual(await draw(row, 3, { ...sampling, runBlock: runOnly(kept) }));
  });
});
