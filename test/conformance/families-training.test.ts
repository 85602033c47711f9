/** What holds for training, mask learning and distillation of every family. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import { input } from "../../src/graph/build.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import type { LayerMap } from "../../src/models/layer-pairs.ts";
import type { Model } from "../../src/models/registry.ts";
import { Params, trainable } from "../../src/nn/params.ts";
import { captureOutputs } from "../../src/nn/run-block.ts";
import { parseGroups } from "../../src/pruning/groups.ts";
import { keepBlocks } from "../../src/pruning/keep-blocks.ts";
import { layerMap } from "../../src/pruning/layer-map.ts";
import { learnDefaults, learnMasks } from "../../src/pruning/learn.ts";
import type { Checkpoint } from "../../src/training/checkpoint-folder.ts";
import { distillDefaults, distillLoss } from "../../src/training/distill.ts";
import { finetuneDefaults, finetuneTask } from "../../src/training/finetune.ts";
import { runLoop } from "../../src/training/loop.ts";
import type { Terms } from "../../src/training/objective.ts";
import { objectiveOf } from "../../src/training/objectives.ts";
import { RunFolder } from "../../src/training/run-folder.ts";
import { trainDefaults, trainTask } from "../../src/training/train.ts";
import { type ModelFile, weightSpecs } from "../../src/weights/model-file.ts";
import { awakeWeights } from "../training/tiny.ts";
import { valuesOf } from "../training/values-of.ts";
import { expectAlike } from "./alike.ts";
import { BATCH, compute, drawBatches, engine, largest } from "./evaluate.ts";
import { data, type Row, rows } from "./models.ts";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-training-"));
afterAll(() => rmSync(folder, { recursive: true }));

const fileOf = ({ model, weights, process, name }: Row): ModelFile => ({
  ...{ model, tensors: weights, process, weights: "raw", images: 0, prunings: [] },
  ...{ path: name, sha256: "ab".repeat(32) },
});
const small = { batchSize: BATCH, labelDrop: 0.5, seed: 4 };
const stacksOf = ({ family, config }: Model) => family.stacks(config);

/** Two blocks of four, one in each half. */
const kept = [1, 2];
const prunedRow = (row: Row): Row => {
  const { family, config } = row.model;
  const model = { family, config: family.keep(config, kept) };
  return { ...row, name: `${row.name}, pruned`, model, weights: keepBlocks(row.model, row.weights, kept) };
};

/** One step of mask learning from awake low-rank factors: gradients of gates and factors. */
async function maskStep(row: Row, execution: "dense" | "routed", microBatch: number): Promise<Map<string, NDArray>> {
  const groups = parseGroups("1:2", stacksOf(row.model));
  const { process } = row;
  const settings = { ...learnDefaults, ...small, process, execution, microBatch, steps: 4, scale: [4, 4] } as const;
  const { learning, trainer } = await learnMasks(engine, fileOf(row), groups, data, settings);
  const specs = Array.from(
    trainer.state("weights"),
    ([name, { shape }]) => ({ name, shape, init: { kind: "zeros" } }) as const,
  );
  await trainer.load("weights", awakeWeights(specs));
  const { terms } = await learning.step(0);
  await trainer.release();
  const gradients = new Map<string, NDArray>([
    ["loss", float32([terms.loss!], [])],
    ["gates", float32(learning.gates.gradient)],
  ]);
  for (const name of trainer.names) gradients.set(name, await trainer.gradientOf(name));
  return gradients;
}

/** A training run's last checkpoint; with `stopAfter` it is stopped there and started again. */
async function trained(row: Row, steps: number, stopAfter: readonly number[]): Promise<Checkpoint> {
  const run = RunFolder.open(join(folder, `${row.name} ${stopAfter}`));
  const { model, process } = row;
  const settings = { ...trainDefaults, ...small, process, microBatch: 3, steps };
  const loop = { steps, logEvery: 1, saveEvery: steps, keepCheckpoints: 2, onNan: "stop" } as const;
  const starts: number[] = [];
  for (const last of [...stopAfter, steps]) {
    const task = await trainTask(engine, model, data, settings, fileOf(row));
    const stop = new AbortController();
    const afterStep = (step: number) => (step === last ? stop.abort() : undefined);
    const onStart = (step: number) => void starts.push(step);
    await runLoop(task, run, loop, { afterStep, onStart, signal: stop.signal });
    await task.release();
  }
  expect(starts).toEqual([0, ...stopAfter]);
  const checkpoint = (await run.latest()).checkpoint!;
  run.close();
  return checkpoint;
}

/** A student's terms [N] in one graph with its teacher, whose weights are named `teacher.…`. */
function distillation(
  student: Model,
  { model: teacher, process }: Row,
  layerMap: LayerMap,
  isTraining: boolean,
): Terms {
  const p = new Params();
  const objective = objectiveOf(process);
  const features = [new Map<number, Tensor>(), new Map<number, Tensor>()] as const;
  const both = objective.distill(
    { model: student, p, runBlock: captureOutputs(features[0]), isTraining },
    { model: teacher, p: p.at("teacher"), runBlock: captureOutputs(features[1]), isTraining: false },
    objective.inputs(student, BATCH),
  );
  const settings = { ...distillDefaults, kind: "masked", layerMap } as const;
  return distillLoss(both, ...features, input("beta", []), settings);
}

const teacherOf = (row: Row): Record<string, NDArray> => ({
  beta: float32([0.5], []),
  ...Object.fromEntries(Array.from(row.weights, ([name, value]) => [`teacher.${name}`, value])),
});

describe.each(rows)("$name", (row) => {
  const pairs = layerMap("paper", stacksOf(row.model), kept);

  it("learns masks alike, dense on whole batches and routed in pieces", async () => {
    const [dense, routed] = [await maskStep(row, "dense", BATCH), await maskStep(row, "routed", 3)];
    expect(largest(dense.get("gates")!)).toBeGreaterThan(1e-3);
    expectAlike(routed, dense, 1e-5);
  }, 20_000);

  it("trained in one go or stopped on the way ends with the same bits", async () => {
    const [whole, resumed] = [await trained(row, 4, []), await trained(row, 4, [1, 3])];
    expect(resumed).toEqual(whole);
    expect(Object.keys(whole.files).sort()).toEqual(["ema", "optimizer", "weights"]);
    for (const [name, { kind }] of trainable(weightSpecs(row.model)).map(({ name, init }) => [name, init] as const)) {
      expect(whole.files.weights!.get(name), `${name} (${kind})`).not.toEqual(row.weights.get(name));
    }
  }, 20_000);

  it("is no distance away from itself, unless its dropout is on", async () => {
    const identity = Array.from({ length: row.model.config.depth }, (_, i) => [i, i] as const);
    for (const isTraining of [false, true]) {
      const terms = distillation(row.model, row, identity, isTraining);
      const found = await compute(row, terms, { ...teacherOf(row), ...(await afterFirstStep(row)) });
      const isApart = isTraining && row.hasDropout;
      for (const term of ["distillation", "features"]) {
        const share = largest(found[term]!) / largest(found.diffusion!);
        if (isApart) expect(share, term).toBeGreaterThan(1e-3);
        else expect(share, term).toBeLessThan(1e-6);
      }
      expect(largest(found.loss!) / largest(found.diffusion!)).toBeGreaterThan(0.05);
    }
  });

  it("is recovered from what was kept of it: only the student learns", async () => {
    const student = prunedRow(row);
    const [own, teacher] = [copyOf(student.weights), copyOf(row.weights)];
    const distill = { ...finetuneDefaults.distill, layerMap: pairs };
    const settings = { ...finetuneDefaults, ...small, process: row.process, microBatch: 3, steps: 4, distill };
    const task = await finetuneTask(engine, fileOf(student), fileOf(row), data, settings);
    const { terms } = await task.step(0);
    expect(Object.values(terms).filter((value) => !Number.isFinite(value))).toEqual([]);
    expect(Math.min(terms.distillation!, terms.features!, terms.diffusion!)).toBeGreaterThan(1e-3);
    const weights = await valuesOf(task.checkpoint().files.weights!);
    expect([...weights.keys()].sort()).toEqual([...own.keys()].sort());
    const moved = [...own].filter(([name, before]) => String(weights.get(name)!.data) !== String(before.data));
    const names = trainable(weightSpecs(student.model)).map(({ name }) => name);
    expect(moved.map(([name]) => name).sort()).toEqual(names.sort());
    expect(copyOf(row.weights)).toEqual(teacher);
    await task.release();
  });
});

const copyOf = (weights: Row["weights"]): Map<string, NDArray> =>
  new Map(Array.from(weights, ([name, { data, shape }]) => [name, float32(data.slice(), shape)]));

/** Steps of a schedule from 1 on: what a learned variance adds at the first one is a likelihood, not a distance. */
async function afterFirstStep(row: Row): Promise<Record<string, NDArray>> {
  const { index } = (await drawBatches(row, BATCH))[0]!;
  return index ? { index: int32(Int32Array.from(index.data as Int32Array, (step) => Math.max(1, step))) } : {};
}
