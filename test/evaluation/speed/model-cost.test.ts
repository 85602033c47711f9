import { describe, expect, test } from "vitest";
import { sizeOf } from "../../../src/array/ndarray.ts";
import { modelCost } from "../../../src/evaluation/speed/model-cost.ts";
import { preset } from "../../../src/models/presets.ts";
import { type Model, modelOf } from "../../../src/models/registry.ts";
import { captureOutputs, runOnly } from "../../../src/nn/run-block.ts";
import { weightSpecs } from "../../../src/weights/model-file.ts";

const parametersOf = (model: Model) => weightSpecs(model).reduce((sum, { shape }) => sum + sizeOf(shape), 0);

/** Two blocks on 2 × 2 tokens of 16 numbers, 4 pixels of one channel each, a variance beside the noise. */
const tiny = modelOf({
  ...{ inputSize: 4, patchSize: 2, inChannels: 1, hiddenSize: 16, depth: 2, numHeads: 2, numClasses: 3 },
});

describe("MACs of one evaluation of one image", () => {
  test("of a tiny DiT are those counted by hand", () => {
    const [tokens, d] = [4, 16];
    const patches = tokens * 4 * d;
    const time = 256 * d + d * d;
    const attention = tokens * (3 * d * d + d * d) + 2 * tokens * tokens * d; // qkv and projection, then q·k and p·v
    const mlp = 2 * tokens * d * 4 * d;
    const modulation = 6 * d * d;
    const last = 2 * d * d + tokens * d * (4 * 2);
    expect(modelCost(tiny).macs).toBe(patches + time + 2 * (attention + mlp + modulation) + last);
    expect(modelCost(tiny, runOnly([1])).macs).toBe(patches + time + (attention + mlp + modulation) + last);
  });

  // Peebles and Xie 2023, table 4 and appendix A: "Gflops" there are multiply-accumulates.
  test.each([
    ["DiT-XL/2", 118.64],
    ["DiT-XL/2-512", 524.6],
    ["DiT-B/4", 5.56],
    ["DiT-S/8", 0.36],
  ])("of %s are the paper's %d G within a hundredth", (name, gmacs) => {
    expect(Math.abs(modelCost(preset(name)).macs / 1e9 / gmacs - 1)).toBeLessThan(0.01);
  });

  test("of half the blocks are half of what the blocks cost", () => {
    const [whole, half] = [modelCost(preset("DiT-XL/2")), modelCost(preset("TinyDiT-D14"))];
    expect(modelCost(preset("DiT-XL/2"), runOnly([...Array(14).keys()]))).toEqual(half);
    expect(half.macs / whole.macs).toBeCloseTo(0.5, 2);
  });

  test("of a MAR come with those of its head, by hand", () => {
    const config = {
      ...{ family: "mar", inputSize: 4, patchSize: 2, inChannels: 1, numClasses: 3, bufferSize: 2 },
      ...{ encoderDepth: 1, encoderSize: 8, encoderHeads: 2, decoderDepth: 1, decoderSize: 8, decoderHeads: 2 },
      ...{ denoiserDepth: 2, denoiserSize: 6 },
    };
    const [w, c, z] = [6, 4, 8];
    const residual = 3 * w * w + 2 * w * w;
    const head = 256 * w + w * w + z * w + c * w + 2 * residual + 2 * w * w + w * 2 * c;
    expect(modelCost(modelOf(config)).headMacs).toBe(head);
    expect(modelCost(tiny).headMacs).toBeUndefined();
  });
});

test("parameters are those of the file, without those of blocks that do not run", () => {
  expect(modelCost(tiny).parameters).toBe(parametersOf(tiny));
  expect(modelCost(preset("MAR-Digits")).parameters).toBe(parametersOf(preset("MAR-Digits")));
  const oneBlock = modelOf({ ...tiny.config, depth: 1 });
  expect(modelCost(tiny, runOnly([1])).parameters).toBe(parametersOf(oneBlock));
});

test("blocks that a model does not have are not left out silently", () => {
  for (const name of ["DiT-Digits", "SiT-Digits", "MAR-Digits"]) {
    for (const inner of [runOnly([0, 99]), captureOutputs(new Map(), runOnly([99]))])
      expect(() => modelCost(preset(name), inner)).toThrow(/block 99 is asked for, the model has 0 to \d+$/);
  }
  for (const kept of [[-1], [0.5], [Number.NaN]]) expect(() => runOnly(kept)).toThrow("kept blocks: expected whole");
});
