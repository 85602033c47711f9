import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { NDArray } from "../../src/array/ndarray.ts";
import { type LabeledImages, loadDigits, loadIdx, pixelsToUnit, splitByClass } from "../../src/data/digits.ts";

/** Images of 1 × 1 whose pixel is their row number. */
function numbered(labels: readonly number[]): LabeledImages {
  return {
    images: new NDArray("uint8", [labels.length, 1, 1], Uint8Array.from(labels.keys())),
    labels: new NDArray("int32", [labels.length], Int32Array.from(labels)),
  };
}

describe("packaged digits", () => {
  const { train, heldOut } = loadDigits();

  test("are 8,000 to train on and 200 of each class held out", () => {
    expect(train.images.shape).toEqual([8000, 28, 28]);
    expect(heldOut.images.shape).toEqual([2000, 28, 28]);
    for (let digit = 0; digit < 10; digit++) {
      expect(heldOut.labels.data.filter((label) => label === digit).length).toBe(200);
      expect(train.labels.data.filter((label) => label === digit).length).toBeGreaterThan(600);
    }
  });

  test("look like digits: mostly background, ones thinner than zeros", () => {
    const meanOf = (digit: number) => {
      const rows = [...heldOut.labels.data.keys()].filter((row) => heldOut.labels.data[row] === digit);
      return (
        rows.reduce((sum, row) => sum + heldOut.images.rows(row, row + 1).data.reduce((a, b) => a + b, 0), 0) /
        rows.length /
        784
      );
    };
    expect(meanOf(0)).toBeGreaterThan(35);
    expect(meanOf(0)).toBeLessThan(60);
    expect(meanOf(1)).toBeLessThan(meanOf(0) / 1.8);
  });

  test("no held-out image is also trained on", () => {
    const rowText = (set: LabeledImages, row: number) =>
      Buffer.from(set.images.rows(row, row + 1).data).toString("latin1");
    const trained = new Set(Array.from({ length: 8000 }, (_, row) => rowText(train, row)));
    for (let row = 0; row < 2000; row++) expect(trained.has(rowText(heldOut, row))).toBe(false);
  });
});

describe("splitting by class", () => {
  test("holds out the last of each class and keeps the order", () => {
    const { train, heldOut } = splitByClass(numbered([0, 1, 0, 1, 1, 0]), 1);
    expect([...train.images.data]).toEqual([0, 1, 2, 3]);
    expect([...train.labels.data]).toEqual([0, 1, 0, 1]);
    expect([...heldOut.images.data]).toEqual([4, 5]);
    expect([...heldOut.labels.data]).toEqual([1, 0]);
  });

  test("a class that is too small is named", () => {
    expect(() => splitByClass(numbered([0, 0, 1]), 1)).toThrow(/class 1 has only 1/);
  });
});

test("a missing file is an InputError with its path", () => {
  expect(() => loadIdx("/nowhere/images.gz", "/nowhere/labels.gz")).toThrow(InputError);
  expect(() => loadIdx("/nowhere/images.gz", "/nowhere/labels.gz")).toThrow("/nowhere/images.gz");
});

test("bytes become numbers in [-1, 1]", () => {
  const unit = pixelsToUnit(new NDArray("uint8", [3, 1], Uint8Array.of(0, 255, 51)));
  expect(unit.shape).toEqual([3, 1]);
  expect([...unit.data]).toEqual([-1, 1, Math.fround(51 / 127.5 - 1)]);
});
