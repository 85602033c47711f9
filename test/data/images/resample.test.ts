import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { NDArray } from "../../../src/array/ndarray.ts";
import { integers } from "../../../src/array/random.ts";
import { centerCrop } from "../../../src/data/images/prepare-images.ts";
import { type FilterName, resample, resizeBilinear, resizeExact } from "../../../src/data/images/resample.ts";
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

// Made by scripts/resize-fixture.py.
const resized = decodeSafetensors(readFileSync(join(import.meta.dirname, "resize.safetensors"))).tensors;
const resizedCases = [...resized.keys()].filter((name) => name.includes(" of "));

type Image = NDArray<"uint8">;
const resizings: Record<string, (image: Image, width: number, height: number) => NDArray<"float32">> = {
  corners: (image, width, height) => resizeBilinear(image, width, height, "corners"),
  centres: (image, width, height) => resizeBilinear(image, width, height, "centres"),
  bicubic: (image, width, height) => resizeExact(image, width, height, "bicubic"),
};

/** The largest difference of planes [3, H, W] and pixels [H, W, 3]. */
function largestGap(ours: NDArray<"float32">, theirs: NDArray): number {
  const [height, width] = theirs.shape as readonly [number, number];
  expect(ours.shape).toEqual([3, height, width]);
  let largest = 0;
  for (let i = 0; i < ours.size; i++) {
    const [c, place] = [Math.floor(i / (height * width)), i % (height * width)];
    const gap = Math.abs(ours.data[i]! - Number(theirs.data[place * 3 + c]));
    if (!(gap <= largest)) largest = gap;
  }
  return largest;
}

test("the fixture has every kind, larger and smaller", () => {
  expect(new Set(resizedCases.map((name) => name.split(" ")[0]))).toEqual(new Set(Object.keys(resizings)));
  expect(resizedCases).toHaveLength(27);
});

describe.each(["corners", "centres", "bicubic"])("%s", (kind) => {
  test.each(resizedCases.filter((name) => name.startsWith(kind)))("%s", (name) => {
    const [, size, source] = /^\w+ (\S+) of (.*)$/.exec(name)!;
    const [width, height] = size!.split("x").map(Number) as [number, number];
    const ours = resizings[kind]!(resized.get(source!) as Image, width, height);
    // TensorFlow's and Pillow's steps are known one by one; torch may use other ones on other processors.
    expect(largestGap(ours, resized.get(name)!)).toBeLessThanOrEqual(kind === "centres" ? 1e-4 : 0);
  });
});

test("the kinds differ by much more than they may be wrong", () => {
  const image = resized.get("32x32") as Image;
  const [corners, centres, bicubic] = Object.values(resizings).map((resize) => resize(image, 29, 29).data);
  const apart = (a: Float32Array, b: Float32Array) => Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
  expect(apart(corners!, centres!)).toBeGreaterThan(1);
  expect(apart(centres!, bicubic!)).toBeGreaterThan(1);
});

test("a bicubic filter goes beyond black and white, and is not clipped", () => {
  const edge = new NDArray("uint8", [2, 2, 3], Uint8Array.of(0, 0, 0, 255, 255, 255, 0, 0, 0, 255, 255, 255));
  const { data } = resizeExact(edge, 9, 9, "bicubic");
  expect(Math.min(...data)).toBeLessThan(0);
  expect(Math.max(...data)).toBeGreaterThan(255);
});
