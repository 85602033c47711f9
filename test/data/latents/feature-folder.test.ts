import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32, int32, NDArray } from "../../../src/array/ndarray.ts";
import { isFeatureFolder, openFeatureFolder } from "../../../src/data/latents/feature-folder.ts";
import { encodeNpy } from "../../../src/formats/npy.ts";

let folder = "";
let features = "";
let labels = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tinyfusion-features-"));
  [features, labels] = [join(folder, "imagenet256_features"), join(folder, "imagenet256_labels")];
  mkdirSync(features);
  mkdirSync(labels);
  for (let i = 0; i < 12; i++) {
    writeFileSync(join(features, `${i}.npy`), encodeNpy(latent(i)));
    const label = new NDArray("int64", [1], BigInt64Array.of(BigInt(100 + i)));
    writeFileSync(join(labels, `${i}.npy`), encodeNpy(label));
  }
});
afterEach(() => rmSync(folder, { recursive: true }));

/** As the original writes them: a batch of one. */
const latent = (number: number) =>
  float32(
    Float32Array.from({ length: 4 * 2 * 2 }, (_, j) => number + j / 100),
    [1, 4, 2, 2],
  );

describe("the original's folders", () => {
  test.each([
    ["beside each other", () => folder],
    ["by the one of the features", () => features],
  ])("%s hold latents and labels of the same names, in the order of Python's sort", async (_name, path) => {
    expect(isFeatureFolder(path())).toBe(true);
    const set = await openFeatureFolder(path(), 1000);
    expect(set).toMatchObject({ size: 12, numClasses: 1000, shape: [4, 2, 2] });
    // "0", "1", "10", "11", "2", …
    const { images, labels: read } = await set.read(Int32Array.of(2, 0, 4, 2), []);
    expect(images.shape).toEqual([4, 4, 2, 2]);
    expect([...read]).toEqual([110, 100, 102, 110]);
    [10, 0, 2, 10].forEach((number, row) => {
      expect(images.rows(row, row + 1).data).toEqual(latent(number).data);
    });
  });

  test("may have latents without the axis of the batch, and other element types", async () => {
    const half = new NDArray("float64", [4, 2, 2], Float64Array.from(latent(3).data));
    writeFileSync(join(features, "3.npy"), encodeNpy(half));
    writeFileSync(join(labels, "3.npy"), encodeNpy(int32([7])));
    const { images, labels: read } = await (await openFeatureFolder(folder, 1000)).read(Int32Array.of(5), []);
    expect(images.data).toEqual(latent(3).data);
    expect([...read]).toEqual([7]);
  });

  test("are known by names and contents", async () => {
    const { sha256 } = await openFeatureFolder(folder, 1000);
    expect((await openFeatureFolder(features, 1000)).sha256).toBe(sha256);
    writeFileSync(join(features, "3.npy"), encodeNpy(latent(4)));
    expect((await openFeatureFolder(folder, 1000)).sha256).not.toBe(sha256);
  });

  test("are not seen where there are none", () => {
    expect(isFeatureFolder(join(folder, "nowhere"))).toBe(false);
    expect(isFeatureFolder(labels)).toBe(false);
  });
});

describe("refused in one sentence", () => {
  test.each([
    ["a missing label", () => rmSync(join(labels, "5.npy")), /5\.npy: missing; .* has a file of this name/],
    ["a label too many", () => writeFileSync(join(labels, "99.npy"), ""), /has 13 labels, .* only 12 latents/],
    [
      "no folder of labels",
      () => rmSync(labels, { recursive: true }),
      /cannot list .*imagenet256_labels: no such file/,
    ],
    [
      "no folder of features",
      () => rmSync(features, { recursive: true }),
      /expected one folder NAME_features .*, found none/,
    ],
    ["two of them", () => mkdirSync(join(folder, "b_features")), /found b_features, imagenet256_features/],
    [
      "a first file of another shape",
      () => writeFileSync(join(features, "0.npy"), encodeNpy(float32([1, 2]))),
      /0\.npy: expected a latent \[C, h, w\] of floating-point numbers, found float32 \[2\]/,
    ],
    [
      "whole numbers",
      () => writeFileSync(join(features, "0.npy"), encodeNpy(int32([1], [1, 1, 1]))),
      /found int32 \[1,1,1\]/,
    ],
  ])("%s", async (_name, damage, message) => {
    damage();
    await expect(openFeatureFolder(folder, 1000)).rejects.toThrow(InputError);
    await expect(openFeatureFolder(folder, 1000)).rejects.toThrow(message);
  });

  test.each([
    [
      "a latent of another shape",
      () => writeFileSync(join(features, "1.npy"), encodeNpy(float32([1], [1, 1, 1]))),
      /1\.npy: expected a latent \[4,2,2\]/,
    ],
    [
      "a label that is no class",
      () => writeFileSync(join(labels, "1.npy"), encodeNpy(int32([1000]))),
      /1\.npy: label 1000 is outside the classes 0 to 999/,
    ],
    [
      "a label that is no number",
      () => writeFileSync(join(labels, "1.npy"), encodeNpy(float32([3]))),
      /1\.npy: expected one whole number, the class, found float32/,
    ],
    ["two labels", () => writeFileSync(join(labels, "1.npy"), encodeNpy(int32([1, 2]))), /expected one whole number/],
    ["a damaged file", () => writeFileSync(join(features, "1.npy"), "no array"), /1\.npy/],
  ])("%s, when it is read", async (_name, damage, message) => {
    damage();
    const set = await openFeatureFolder(folder, 1000);
    const reading = set.read(Int32Array.of(0, 1), []);
    await expect(reading).rejects.toThrow(InputError);
    await expect(reading).rejects.toThrow(message);
  });
});

test("no latents at all", async () => {
  rmSync(features, { recursive: true });
  mkdirSync(features);
  await expect(openFeatureFolder(folder, 1000)).rejects.toThrow(/expected files NAME\.npy, found none/);
});
