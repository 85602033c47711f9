import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { NDArray } from "../../../src/array/ndarray.ts";
import { loadDigits } from "../../../src/data/digits.ts";
import { cpuEngine } from "../../../src/engine/onnx/node-engine.ts";
import { classifierInput, digitFeatures, openDigitNetwork } from "../../../src/evaluation/features/digit-network.ts";
import type { FeatureNetwork } from "../../../src/evaluation/features/extract-features.ts";
import { digitImages } from "../../../src/evaluation/images/open-image-set.ts";

const engine = cpuEngine({ threads: 1 });

describe("the digit classifier as a network", () => {
  let network: FeatureNetwork;
  beforeAll(async () => {
    network = await openDigitNetwork(engine);
  });
  afterAll(() => network.release());

  test("sees what the classifier sees, and probabilities that sum to 1", async () => {
    const { pooled, probabilities } = await network.features(await digitImages("heldOut").read(0, 130));
    const { features, predicted } = await digitFeatures(
      engine,
      classifierInput(loadDigits().heldOut.images.rows(0, 130)),
    );
    expect([...pooled.data]).toEqual([...features.data]);
    expect(probabilities!.shape).toEqual([130, 10]);
    for (let i = 0; i < 130; i++) {
      const row = [...probabilities!.rows(i, i + 1).data];
      expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
      expect(row.indexOf(Math.max(...row))).toBe(predicted[i]);
    }
  });

  test.each([1, 2])("refuses images in colour: channel %i differs", async (channel) => {
    const images = new NDArray("uint8", [2, 28, 28, 3], new Uint8Array(2 * 784 * 3).fill(7));
    images.data[3 * 784 + 30 + channel] = 9;
    const wrong = network.features(images);
    await expect(wrong).rejects.toThrow(InputError);
    await expect(wrong).rejects.toThrow(
      `sees gray images, found a pixel of ${channel === 1 ? "7, 9, 7" : "7, 7, 9"}; choose --features inception`,
    );
  });

  test("refuses images of another size", async () => {
    const images = new NDArray("uint8", [2, 32, 28, 3], new Uint8Array(2 * 32 * 28 * 3));
    await expect(network.features(images)).rejects.toThrow("sees images of 28 × 28, found 32 × 28; choose --features");
  });
});
