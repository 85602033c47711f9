/** The tasks that train and prune, as a program calls them: one settings object in, a typed result out. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { openData } from "../../src/tasks/data-settings.ts";
import { finetune } from "../../src/tasks/finetune.ts";
import { openModel } from "../../src/tasks/model-settings.ts";
import { planPrune, prune } from "../../src/tasks/prune/prune.ts";
import { planPruneWidth, pruneWidth } from "../../src/tasks/prune/prune-width.ts";
import { SettingError } from "../../src/tasks/settings.ts";
import { planTrain, train } from "../../src/tasks/train.ts";
import { plantModel, tinyConfig } from "../cli/program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "training-tasks-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const [model, modelConfig] = [at("model.safetensors"), at("model.json")];
const short = { steps: 2, batchSize: 4, threads: 1 };

beforeAll(async () => {
  await plantModel(model);
  writeFileSync(modelConfig, JSON.stringify(tinyConfig));
});

describe("train", () => {
  test("is stopped by its signal and resumed by the same settings, and returns the files of the last step", async () => {
    const controller = new AbortController();
    const onProgress = () => controller.abort();
    const settings = { modelConfig, out: at("run"), logEvery: 1, ...short };
    expect(await train({ ...settings, signal: controller.signal, onProgress })).toEqual({ finished: false, step: 1 });
    const notes: string[] = [];
    const result = await train({ ...settings, onNote: (line) => notes.push(line) });
    expect(notes[0]).toBe("train: resumed at step 1 of 2");
    const checkpoint = at("run/checkpoints/step-00000002");
    expect(result).toEqual({
      finished: true,
      step: 2,
      ema: join(checkpoint, "ema.safetensors"),
      weights: join(checkpoint, "weights.safetensors"),
      checkpoint,
    });
  });

  test("has a plan that names what it would cost, and writes nothing", async () => {
    const plan = await planTrain({ modelConfig, out: at("planned"), ...short });
    expect([plan.steps, plan.batchSize, plan.microBatches, plan.microBatch]).toEqual([2, 4, 1, 4]);
    expect([plan.time.measured, plan.flops > 0, plan.settings.learningRate]).toEqual([3, true, 1e-4]);
    expect(existsSync(at("planned"))).toBe(false);
  });

  test("names its settings in errors", async () => {
    const out = at("never");
    await expect(train({ modelConfig, ...short })).rejects.toThrow(new SettingError("`out` is required"));
    await expect(train({ out, steps: 0 })).rejects.toThrow(new SettingError("`steps` expects at least 1, got 0"));
    await expect(train({ out, ...{ bachSize: 3 } })).rejects.toThrow(
      new SettingError("unknown setting `bachSize`; did you mean batchSize?"),
    );
    await expect(train({ out: `${out}.pt` })).rejects.toThrow(/`out` \S+ is called like a \.pt file, but is a folder/);
    expect(existsSync(out)).toBe(false);
  });

  test("learns from examples that the program has, too", async () => {
    const trainingSet = await openData({ config: (await openModel({ file: model })).model.config });
    const { finished } = await train({ modelConfig, out: at("own-data"), trainingSet, ...short });
    expect([finished, trainingSet.shape]).toEqual([true, [1, 28, 28]]);
  });
});

describe("prune", () => {
  test("returns its decision and a model that finetune recovers", async () => {
    const result = await prune({ file: model, method: "uniform", keep: "2", out: at("uniform") });
    if (!result.finished) throw new Error("stopped");
    expect([result.decision.kept, result.decision.depth, result.decision.budget]).toEqual([[0, 2], 4, [2]]);
    const recovered = await finetune({ student: result.pruned, teacher: model, out: at("recovery"), ...short });
    expect(recovered).toMatchObject({ finished: true, step: 2 });
  });

  test("learns masks in a run that its signal stops", async () => {
    const settings = { file: model, groups: "1:2", out: at("masks"), ...short };
    expect(await prune({ ...settings, signal: AbortSignal.abort() })).toEqual({ finished: false, step: 1 });
    const learned = await prune(settings);
    expect(learned).toMatchObject({ finished: true, step: 2, decision: { method: "learned", depth: 4 } });
  });

  test("plans a choice by its passes over the data, and learning by its steps", async () => {
    const scored = await planPrune({ file: model, method: "sensitivity", calibration: 32, threads: 1 });
    expect(scored.choice).toMatchObject({ method: "sensitivity", keptCount: 2, passes: { examples: 32, passes: 5 } });
    expect((await planPrune({ file: model, ...short })).learning).toMatchObject({ steps: 2, out: undefined });
  });

  test("throws the reason of its signal where it does not learn, with nothing written", async () => {
    const [out, signal] = [at("stopped"), AbortSignal.abort(new Error("enough"))];
    await expect(prune({ file: model, method: "sensitivity", out, threads: 1, signal })).rejects.toThrow("enough");
    expect(existsSync(out)).toBe(false);
  });

  test("refuses settings that would be ignored, by their names", async () => {
    const pruned = prune({ file: model, method: "oracle", calibration: 8, out: at("never") });
    await expect(pruned).rejects.toThrow(
      /^`method` oracle and `calibration` exclude each other: `calibration` is for /,
    );
  });
});

test("pruneWidth returns the widths and costs before and after, as planned", async () => {
  const settings = { file: model, criterion: "magnitude", heads: 0.5, mlp: 0.5, threads: 1 } as const;
  const plan = await planPruneWidth(settings);
  const { before, after, decision, pruned } = await pruneWidth({ ...settings, out: at("narrow") });
  expect({ before, after }).toEqual(plan);
  expect([before.heads, after.heads, before.channels, after.channels]).toEqual([2, 1, 32, 16]);
  expect([decision.keep, existsSync(pruned)]).toEqual([{ heads: 1, channels: 16 }, true]);
});

describe("openModel and openData", () => {
  test("open what a path names, and say what is wrong with it", async () => {
    const { model: opened, tensors } = await openModel({ file: model });
    expect([opened.config.depth, tensors.size > 0]).toEqual([4, true]);
    await expect(openModel({ file: at("nowhere") })).rejects.toThrow(InputError);
    await expect(openModel({})).rejects.toThrow(new SettingError("`file` is required"));
    const data = openData({ data: "digits", config: { ...opened.config, inputSize: 32 } });
    await expect(data).rejects.toThrow("digits: images are 1 × 28 × 28, the model takes 1 × 32 × 32");
  });
});
