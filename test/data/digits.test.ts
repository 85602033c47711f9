import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { NDArray } from "../../src/array/ndarray.ts";
import { uniforms } from "../../src/array/random.ts";
import {
  decodeIdx,
  type LabeledImages,
  loadDigits,
  loadIdx,
  pixelsToUnit,
  splitByClass,
} from "../../src/data/digits.ts";

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

const plain = Uint8Array.from([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6]);

function changed(at: number, value: number): Uint8Array {
  const copy = plain.slice();
  copy[at] = value;
  return copy;
}

describe("IDX files", () => {
  test.each([
    ["plain", plain],
    ["gzipped", gzipSync(plain)],
    ["a subarray", new Uint8Array([9, ...plain, 9]).subarray(1, -1)],
  ])("are read when %s", (_name, bytes) => {
    const array = decodeIdx(bytes);
    expect(array.shape).toEqual([2, 3]);
    expect([...array.data]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test.each([
    ["is empty", new Uint8Array(0), /found 0 bytes/],
    ["has another magic number", changed(0, 1), /starts with 01 00 08 02/],
    ["holds floats", changed(2, 0x0d), /unsigned bytes/],
    ["has rank 0", changed(3, 0), /a rank/],
    ["ends within its header", plain.subarray(0, 9), /header of 12 bytes/],
    ["ends within its elements", plain.subarray(0, 17), /needs 18 bytes.*found 17/],
    ["goes on after its elements", new Uint8Array([...plain, 0]), /found more/],
    ["has a dimension of 0", changed(7, 0), /its header says \[0,3\]/],
    ["claims 2^63 elements", Uint8Array.from([0, 0, 8, 2, ...new Array<number>(8).fill(255)]), /elements/],
    ["is a cut gzip", gzipSync(plain).subarray(0, 20), /file\.idx/],
    ["is a gzip of something else", gzipSync("hello"), /starts with/],
    ["is a damaged gzip", Uint8Array.from([0x1f, 0x8b, 1, 2, 3]), /gzip/],
  ])("a file that %s gets one clear error", (_name, bytes, message) => {
    expect(() => decodeIdx(bytes, "file.idx")).toThrow(InputError);
    expect(() => decodeIdx(bytes, "file.idx")).toThrow(message);
    expect(() => decodeIdx(bytes, "file.idx")).toThrow(/^file\.idx: /);
  });

  test("a gzip bomb is refused at the declared size", () => {
    const bomb = gzipSync(Buffer.concat([plain, Buffer.alloc(50_000_000)]));
    expect(() => decodeIdx(bomb)).toThrow(/expected a gzip of 18 bytes/);
  });

  test("no mutation gives anything but an array or an InputError", () => {
    for (let index = 0; index < 2000; index++) {
      const draw = uniforms({ seed: 1, purpose: "idx fuzz", step: 0, index }, 6);
      const bytes = (index % 2 ? plain : new Uint8Array(gzipSync(plain))).slice();
      for (let i = 0; i < 4; i += 2) bytes[Math.floor(draw[i]! * bytes.length)] = Math.floor(draw[i + 1]! * 256);
      try {
        decodeIdx(draw[4]! < 0.2 ? bytes.subarray(0, draw[5]! * bytes.length) : bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
      }
    }
  });
});
