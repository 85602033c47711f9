/** How many tokens training masks follows from the process of the model. */
import { expect, test } from "vitest";
import { float32, int32 } from "../../src/array/ndarray.ts";
import { imagesInMemory } from "../../src/data/training-set.ts";
import { processOf, processText } from "../../src/diffusion/process.ts";
import { modelOf } from "../../src/models/registry.ts";
import { objectiveOf } from "../../src/training/objectives.ts";

const model = modelOf({
  ...{ family: "mar", inputSize: 10, patchSize: 1, inChannels: 1, numClasses: 10, bufferSize: 2 },
  ...{ encoderDepth: 1, encoderSize: 8, encoderHeads: 2, decoderDepth: 1, decoderSize: 8, decoderHeads: 2 },
  ...{ denoiserDepth: 1, denoiserSize: 8 },
});
const data = imagesInMemory(float32(new Float32Array(100), [1, 1, 10, 10]), int32([0], [1]), 10);
const settings = { seed: 0, batchSize: 1, microBatch: 1, labelDrop: 0 };

/** Visible tokens of 100 in each of some steps, fewest first. */
async function visible(fields: object): Promise<number[]> {
  const objective = objectiveOf(processOf("tokens", fields));
  const counts: number[] = [];
  for (let step = 0; step < 60; step++) {
    const [feeds] = await objective.draw(model, data, settings, step);
    counts.push(feeds!.visible!.shape[1]! - 2);
  }
  return counts.sort((a, b) => a - b);
}

test("at least 70% without another word, else as many as the process says", async () => {
  const usual = await visible({});
  expect(usual.at(-1)).toBeGreaterThan(20);
  expect(usual.at(-1)).toBeLessThanOrEqual(30);
  expect(await visible({ maskRatioMin: 0.7 })).toEqual(usual);
  expect((await visible({ maskRatioMin: 0.2 })).at(-1)).toBeGreaterThan(40);
  expect((await visible({ maskRatioMin: 1 })).at(-1)).toBe(0);
  expect(processText(processOf("tokens", { maskRatioMin: 0.2 }))).toContain("at least 0.2 of them masked");
  expect(processText(processOf("tokens", {}))).not.toContain("masked,");
});
