import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { NDArray } from "../../../src/array/ndarray.ts";
import { integers } from "../../../src/array/random.ts";
import { centerCrop } from "../../../src/data/images/center-crop.ts";
import { type FilterName, resample } from "../../../src/data/images/resample.ts";
import { decodeSafetensors } from "../../../src/formats/safetensors.ts";

// Made by Pillow: scripts/resample-fixture.py. Another file of the same form can be named, to compare more.
const file = process.env.RESAMPLE_FIXTURE ?? join(import.meta.dirname, "resample.safetensors");
const tensors = decodeSafetensors(readFileSync(file)).tensors as Map<string, NDArray<"uint8">>;
const cases = [...tensors.keys()].filter((name) => name.includes(" of "));

/** Pixels that differ, and by how much at most. */
function difference(ours: NDArray, theirs: NDArray<"uint8">): string {
  expect(ours.shape).toEqual(theirs.shape);
  const gaps = Array.from(theirs.data, (value, i) => Math.abs(value - Number(ours.data[i])));
  return `${gaps.filter((gap) => gap > 0).length} differ, by up to ${gaps.reduce((most, gap) => Math.max(most, gap), 0)}`;
}

describe("the same bits as Pillow", () => {
  test("the fixture has every filter and crops", () => {
    const kinds = new Set(cases.map((name) => name.split(" ")[0]));
    expect(kinds).toEqual(new Set(["box", "bilinear", "bicubic", "lanczos", "crop"]));
    expect(cases.length).toBeGreaterThanOrEqual(50);
  });

  test.each(cases)("%s", (name) => {
    const [, kind, size, source] = /^(\w+) (\S+) of (.*)$/.exec(name)!;
    const image = tensors.get(source!)!;
    const [width, height] = size!.split("x").map(Number) as [number, number];
    const ours = kind === "crop" ? centerCrop(image, width) : resample(image, width, height, kind as FilterName);
    expect(difference(ours, tensors.get(name)!)).toBe("0 differ, by up to 0");
  });
});

describe("a window of the result", () => {
  const image = noise(29, 17);

  test("has the numbers of the whole", () => {
    const whole = resample(image, 41, 13, "bicubic");
    const part = resample(image, 41, 13, "bicubic", { left: 5, top: 2, width: 20, height: 7 });
    for (let y = 0; y < 7; y++) {
      const row = whole.rows(2 + y, 3 + y).data.subarray(5 * 3, 25 * 3);
      expect(part.rows(y, y + 1).data).toEqual(row);
    }
  });

  test("of a thin line costs only the window", () => {
    // The whole would have 64 × 64,000,000 pixels.
    const line = new NDArray("uint8", [1, 1_000_000, 3], new Uint8Array(3_000_000).fill(77));
    const crop = centerCrop(line, 64);
    expect(crop.shape).toEqual([64, 64, 3]);
    expect(new Set(crop.data)).toEqual(new Set([77]));
  });

  test.each([
    ["outside", [10, 10, { left: 5, top: 0, width: 6, height: 10 }]],
    ["before", [10, 10, { left: -1, top: 0, width: 6, height: 10 }]],
    ["empty", [10, 10, { left: 0, top: 0, width: 0, height: 10 }]],
    ["of an empty image", [0, 10, undefined]],
    ["of a fractional image", [2.5, 10, undefined]],
  ] as const)("%s is refused", (_name, [width, height, window]) => {
    expect(() => resample(image, width, height, "box", window)).toThrow(RangeError);
  });
});

function noise(width: number, height: number): NDArray<"uint8"> {
  const pixels = integers({ seed: 3, purpose: "pixels", step: 0, index: 0 }, width * height * 3, 256);
  return new NDArray("uint8", [height, width, 3], Uint8Array.from(pixels));
}
