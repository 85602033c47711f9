/** Settings of the library's training functions that are out of their bounds are refused before anything is computed. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { int32, zeros } from "../../src/array/ndarray.ts";
import { imagesInMemory } from "../../src/data/training-set.ts";
import { defaultProcess } from "../../src/diffusion/process.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { Params } from "../../src/nn/params.ts";
import { parseGroups } from "../../src/pruning/groups.ts";
import { type LearnSettings, learnDefaults, learnMasks } from "../../src/pruning/learn.ts";
import { type FinetuneSettings, finetuneDefaults, finetuneTask } from "../../src/training/finetune.ts";
import { type LoopSettings, runLoop } from "../../src/training/loop.ts";
import { withLora } from "../../src/training/lora.ts";
import { RunFolder } from "../../src/training/run-folder.ts";
import { type TrainSettings, trainDefaults, trainTask } from "../../src/training/train.ts";
import { type ModelFile, weightSpecs } from "../../src/weights/model-file.ts";
import { awakeWeights, images, tinyModel } from "./tiny.ts";

const engine = cpuEngine({ threads: 1 });
const model = tinyModel();
const file: ModelFile = {
  ...({ weights: "raw", images: 0, prunings: [], process: defaultProcess, sha256: "", path: "" } as const),
  ...{ model, tensors: awakeWeights(weightSpecs(model)) },
};
const small = { steps: 1, batchSize: 2, microBatch: 2, process: defaultProcess };
const rate = trainDefaults.learningRate;

const common: [string, Partial<TrainSettings>][] = [
  ["steps is 1.5", { steps: 1.5 }],
  ["batchSize is 0", { batchSize: 0 }],
  ["microBatch is NaN", { microBatch: Number.NaN }],
  ["labelDrop is -0.1", { labelDrop: -0.1 }],
  ["emaDecay is 1.01", { emaDecay: 1.01 }],
  ["clipNorm is -1", { clipNorm: -1 }],
  ["learningRate.base is Infinity", { learningRate: { ...rate, base: Number.POSITIVE_INFINITY } }],
  ["learningRate.warmupSteps is -1", { learningRate: { ...rate, warmupSteps: -1 } }],
  ["adamw.beta2 is 1", { adamw: { ...trainDefaults.adamw, beta2: 1 } }],
  ["adamw.weightDecay is -0.1", { adamw: { ...trainDefaults.adamw, weightDecay: -0.1 } }],
];

const train = (changed: Partial<TrainSettings>) =>
  trainTask(engine, model, images, { ...trainDefaults, ...small, ...changed });

const finetune = (changed: Partial<FinetuneSettings>) => {
  const distill = { ...finetuneDefaults.distill, layerMap: [[0, 0]] } as const;
  return finetuneTask(engine, file, file, images, { ...finetuneDefaults, ...small, distill, ...changed });
};

const learn = (changed: Partial<LearnSettings>) =>
  learnMasks(engine, file, parseGroups("1:2", [2]), images, { ...learnDefaults, ...small, ...changed });

describe("refused:", () => {
  test.each(common)("%s, by training, fine-tuning and mask learning", async (said, changed) => {
    for (const task of [train, finetune, learn]) {
      const error = await task(changed).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(RangeError);
      expect(String(error)).toContain(`settings: ${said}, expected `);
    }
  });

  const distill = { ...finetuneDefaults.distill, layerMap: [[0, 0]] } as const;
  test.each<[string, Partial<FinetuneSettings>]>([
    ["beta is -1", { beta: -1 }],
    ["distill.weight is 2", { distill: { ...distill, weight: 2 } }],
    ["distill.maskSigma is 0", { distill: { ...distill, maskSigma: 0 } }],
  ])("%s, by fine-tuning", (said, changed) =>
    expect(finetune(changed)).rejects.toThrow(`settings: ${said}, expected `));

  const masks: [string, Partial<LearnSettings>][] = [
    ["tau[0] is 0", { tau: [0, 0.1] }],
    ["tau[1] is -0.1", { tau: [4, -0.1] }],
    ["scale[1] is NaN", { scale: [100, Number.NaN] }],
    ["counterfactual is 0", { counterfactual: 0 }],
    ["gateInit is Infinity", { gateInit: Number.POSITIVE_INFINITY }],
    ["gateLearningRate.base is -1", { gateLearningRate: { ...rate, base: -1 } }],
  ];
  test.each([
    ...masks,
    ["lora.rank is 0", { lora: { rank: 0, alpha: 1 } }] as [string, Partial<LearnSettings>],
  ])("%s, by mask learning", (said, changed) => expect(learn(changed)).rejects.toThrow(`settings: ${said}, expected `));
});

describe("refused by the loop:", () => {
  test.each<[string, Partial<LoopSettings>]>([
    ["steps is NaN", { steps: Number.NaN }],
    ["steps is -1", { steps: -1 }],
    ["keepCheckpoints is 0", { keepCheckpoints: 0 }],
    ["saveEvery is -2", { saveEvery: -2 }],
  ])("%s", async (said, changed) => {
    const path = mkdtempSync(join(tmpdir(), "loop-settings-"));
    const folder = RunFolder.open(path);
    const task = await train({});
    const settings: LoopSettings = { steps: 1, logEvery: 1, saveEvery: 1, keepCheckpoints: 1, onNan: "stop" };
    await expect(runLoop(task, folder, { ...settings, ...changed })).rejects.toThrow(`settings: ${said}, expected `);
    expect(folder.checkpoints()).toEqual([]);
    folder.close();
    await task.release();
    rmSync(path, { recursive: true });
  });
});

test("low-rank updates of no rank are refused", () => {
  for (const lora of [
    { rank: 0, alpha: 1 },
    { rank: 1.5, alpha: 1 },
    { rank: 1, alpha: Number.NaN },
  ])
    expect(() => withLora([], new Params(), lora)).toThrow(/settings: lora\.(rank|alpha) is /);
});

test("images in memory have one label each, of a class that there is", () => {
  const four = zeros("float32", [2, 1, 4, 4]);
  expect(() => imagesInMemory(four, int32([0]), 3)).toThrow("got [2,1,4,4] and [1]");
  expect(() => imagesInMemory(zeros("float32", [2, 4, 4]), int32([0, 1]), 3)).toThrow("expected images [N, C, H, W]");
  expect(() => imagesInMemory(zeros("float32", [0, 1, 4, 4]), zeros("int32", [0]), 3)).toThrow("got [0,1,4,4]");
  expect(() => imagesInMemory(four, int32([0, 3]), 3)).toThrow("a label is 3, expected 0 to 2");
  expect(imagesInMemory(four, int32([0, 2]), 3).size).toBe(2);
});

test("what turns a setting off, or is at its end, is taken", async () => {
  const ends = { clipNorm: Number.POSITIVE_INFINITY, emaDecay: 1, labelDrop: 1, learningRate: { ...rate, base: 0 } };
  await (await train(ends)).release();
  await (await train({ clipNorm: 0, emaDecay: 0, labelDrop: 0 })).release();
});
