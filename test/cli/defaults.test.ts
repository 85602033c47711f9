/** The commands and the library have the same defaults. */
import { expect, test } from "vitest";
import { preset } from "../../src/models/presets.ts";
import { learnDefaults } from "../../src/pruning/learn.ts";
import { finetuneSettings } from "../../src/tasks/finetune.ts";
import { pruneSettings } from "../../src/tasks/prune/prune-settings.ts";
import { resolveValues } from "../../src/tasks/settings.ts";
import { trainSettings } from "../../src/tasks/shared-settings.ts";
import { trainSettings as trainTable } from "../../src/tasks/train.ts";
import { finetuneDefaults } from "../../src/training/finetune.ts";
import { trainDefaults } from "../../src/training/train.ts";

const dit = preset("DiT-Digits");

test("train", () => {
  expect(trainSettings(resolveValues(trainTable, {}), dit)).toMatchObject(trainDefaults);
});

test("finetune", () => {
  const values = resolveValues(finetuneSettings, {});
  const { distill: kind, maskSigma, distillWeight: weight } = values;
  expect({ ...trainSettings(values, dit), distill: { kind, maskSigma, weight } }).toMatchObject(finetuneDefaults);
});

test("prune", () => {
  const values = resolveValues(pruneSettings, {});
  const { loraRank: rank, loraAlpha: alpha, tauStart, tauEnd, scaleStart, scaleEnd, gateLr } = values;
  expect(gateLr).toBeUndefined();
  expect({
    ...trainSettings(values, dit),
    gateLearningRate: { ...trainSettings(values, dit).learningRate, base: 10 * values.learningRate },
    ...{ lora: { rank, alpha }, tau: [tauStart, tauEnd], scale: [scaleStart, scaleEnd] },
  }).toMatchObject(learnDefaults);
});
