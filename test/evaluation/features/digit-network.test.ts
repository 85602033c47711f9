import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32, NDArray } from "../../../src/array/ndarray.ts";
import { loadDigits } from "../../../src/data/digits.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import {
  classifierInput,
  classifierWeights,
  type DigitNetwork,
  openDigitNetwork,
  packagedClassifier,
  predictedClasses,
} from "../../../src/evaluation/features/digit-network.ts";
import { digitImages } from "../../../src/evaluation/images/open-image-set.ts";
import { encodeSafetensors } from "../../../src/formats/safetensors.ts";

const engine = cpuEngine({ threads: 1 });
const { images, labels } = loadDigits().heldOut;
const heldOut = classifierInput(images);
const folder = mkdtempSync(join(tmpdir(), "classifier-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the digit classifier as a network", () => {
  let network: DigitNetwork;
  beforeAll(async () => {
    network = await openDigitNetwork(engine);
  });
  afterAll(() => network.release());

  test("is right for at least 1,970 of the 2,000 held-out digits", async () => {
    const { pooled, probabilities } = await network.unrounded(heldOut);
    const correct = predictedClasses(probabilities).filter((k, i) => k === labels.data[i]).length;
    expect(pooled.shape).toEqual([2000, 64]);
    expect(correct).toBeGreaterThanOrEqual(1970);
  });

  test("gives an image the same features, bit for bit, however many there are and wherever it is", async () => {
    const [many, few] = [
      await network.unrounded(heldOut.rows(0, 203)),
      await network.unrounded(heldOut.rows(199, 202)),
    ];
    expect([...few.pooled.data]).toEqual([...many.pooled.rows(199, 202).data]);
    expect([...few.probabilities.data]).toEqual([...many.probabilities.rows(199, 202).data]);
    const one = await network.unrounded(heldOut.rows(7, 8));
    expect([...one.pooled.data]).toEqual([...many.pooled.rows(7, 8).data]);
  });

  test("gives bytes the features of the numbers they stand for, and probabilities that sum to 1", async () => {
    const { pooled, probabilities } = await network.features(await digitImages("heldOut").read(0, 130));
    expect([...pooled.data]).toEqual([...(await network.unrounded(heldOut.rows(0, 130))).pooled.data]);
    expect(probabilities!.shape).toEqual([130, 10]);
    const predicted = predictedClasses(probabilities!);
    for (let i = 0; i < 130; i++) {
      const row = [...probabilities!.rows(i, i + 1).data];
      expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
      expect(row.indexOf(Math.max(...row))).toBe(predicted[i]);
    }
  });

  test.each([1, 2])("refuses images in colour: channel %i differs", async (channel) => {
    const coloured = new NDArray("uint8", [2, 28, 28, 3], new Uint8Array(2 * 784 * 3).fill(7));
    coloured.data[3 * 784 + 30 + channel] = 9;
    const wrong = network.features(coloured);
    await expect(wrong).rejects.toThrow(InputError);
    await expect(wrong).rejects.toThrow(
      `takes gray images, found a pixel of ${channel === 1 ? "7, 9, 7" : "7, 7, 9"}; choose \`features\` inception`,
    );
  });

  test("refuses images of another size, as bytes or not", async () => {
    const large = new NDArray("uint8", [2, 32, 28, 3], new Uint8Array(2 * 32 * 28 * 3));
    await expect(network.features(large)).rejects.toThrow("takes images of 28 × 28, found 32 × 28; choose `features`");
    const latents = float32(new Float32Array(2 * 4 * 64), [2, 4, 8, 8]);
    await expect(network.unrounded(latents)).rejects.toThrow(
      new InputError("the digit classifier takes images [N, 1, 28, 28], got [2,4,8,8]"),
    );
  });
});

test("a classifier is refused if a weight is missing or has another shape", () => {
  const weights = new Map<string, NDArray>(classifierWeights(packagedClassifier));
  const written = (changed: Map<string, NDArray>) => {
    const path = join(folder, "classifier.safetensors");
    writeFileSync(path, Buffer.concat([...encodeSafetensors(changed)]));
    return path;
  };
  weights.set("fc2.bias", float32([1, 2, 3]));
  expect(() => classifierWeights(written(weights))).toThrow("the digit classifier needs fc2.bias [10], found [3]");
  weights.delete("fc2.bias");
  expect(() => classifierWeights(written(weights))).toThrow("the digit classifier needs fc2.bias [10], found none");
});
