import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32, type NDArray } from "../../../src/array/ndarray.ts";
import { loadDigits } from "../../../src/data/digits.ts";
import { cpuEngine } from "../../../src/engine/onnx/node-engine.ts";
import { classifierInput, digitFeatures, loadDigitClassifier } from "../../../src/evaluation/features/digit-network.ts";
import { encodeSafetensors } from "../../../src/formats/safetensors.ts";

const engine = cpuEngine({ threads: 1 });
const { images, labels } = loadDigits().heldOut;
const heldOut = classifierInput(images);
const folder = mkdtempSync(join(tmpdir(), "classifier-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the packaged digit classifier", () => {
  test("is right for at least 1,970 of the 2,000 held-out digits", async () => {
    const { predicted, features } = await digitFeatures(engine, heldOut);
    const correct = predicted.filter((k, i) => k === labels.data[i]).length;
    expect(features.shape).toEqual([2000, 64]);
    expect(correct).toBeGreaterThanOrEqual(1970);
  });

  test("sees the same in an image, bit for bit, however many there are and wherever it stands", async () => {
    const [many, few] = [
      await digitFeatures(engine, heldOut.rows(0, 203)),
      await digitFeatures(engine, heldOut.rows(199, 202)),
    ];
    expect([...few.features.data]).toEqual([...many.features.rows(199, 202).data]);
    expect([...few.predicted]).toEqual([...many.predicted.subarray(199, 202)]);
    const one = await digitFeatures(engine, heldOut.rows(7, 8));
    expect([...one.features.data]).toEqual([...many.features.rows(7, 8).data]);
  });

  test("refuses images of another size", async () => {
    const latents = float32(new Float32Array(2 * 4 * 64), [2, 4, 8, 8]);
    await expect(digitFeatures(engine, latents)).rejects.toThrow(
      new InputError("the digit classifier sees images [N, 1, 28, 28], got [2,4,8,8]"),
    );
  });

  test("is refused if a weight is missing or has another shape", () => {
    const weights = new Map<string, NDArray>(loadDigitClassifier().weights);
    const written = (changed: Map<string, NDArray>) => {
      const path = join(folder, "classifier.safetensors");
      writeFileSync(path, Buffer.concat([...encodeSafetensors(changed)]));
      return path;
    };
    weights.set("fc2.bias", float32([1, 2, 3]));
    expect(() => loadDigitClassifier(written(weights))).toThrow("the digit classifier needs fc2.bias [10], found [3]");
    weights.delete("fc2.bias");
    expect(() => loadDigitClassifier(written(weights))).toThrow("the digit classifier needs fc2.bias [10], found none");
  });
});
