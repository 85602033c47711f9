/** The commands and the library have the same defaults. */
import { expect, test } from "vitest";
import { finetune } from "../../src/cli/finetune.ts";
import { prune } from "../../src/cli/prune/prune.ts";
import { train } from "../../src/cli/train.ts";
import { preset } from "../../src/models/presets.ts";
import { learnDefaults } from "../../src/pruning/learn.ts";
import { resolveValues } from "../../src/tasks/settings.ts";
import { trainSettings } from "../../src/tasks/shared-settings.ts";
import { finetuneDefaults } from "../../src/training/finetune.ts";
import { trainDefaults } from "../../src/training/train.ts";

const dit = preset("DiT-Digits");

test("train", () => {
  expect(trainSettings(resolveValues(train.options, {}), dit)).toMatchObject(trainDefaults);
});

test("finetune", () => {
  const values = resolveValues(finetune.options, {});
  const { distill: kind, maskSigma, share } = values;
  expect({ ...trainSettings(values, dit), distill: { kind, maskSigma, weight: share } }).toMatchObject(
    finetuneDefaults,
  );
});

test("prune", () => {
  const values = resolveValues(prune.options, {});
  const { loraRank: rank, loraAlpha: alpha, tauStart, tauEnd, scaleStart, scaleEnd, gateLr } = values;
  expect(gateLr).toBeUndefined();
  expect({
    ...trainSettings(values, dit),
    gateLearningRate: { ...trainSettings(values, dit).learningRate, base: 10 * values.learningRate },
    ...{ lora: { rank, alpha }, tau: [tauStart, tauEnd], scale: [scaleStart, scaleEnd] },
  }).toMatchObject(learnDefaults);
});
