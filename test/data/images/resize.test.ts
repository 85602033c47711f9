import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { NDArray } from "../../../src/array/ndarray.ts";
import { resizeBilinear } from "../../../src/data/images/resize-bilinear.ts";
import { resizeExact } from "../../../src/data/images/resize-exact.ts";
import { decodeSafetensors } from "../../../src/formats/safetensors.ts";

// Made by scripts/resize-fixture.py.
const { tensors } = decodeSafetensors(readFileSync(join(import.meta.dirname, "resize.safetensors")));
const cases = [...tensors.keys()].filter((name) => name.includes(" of "));

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
  expect(new Set(cases.map((name) => name.split(" ")[0]))).toEqual(new Set(Object.keys(resizings)));
  expect(cases).toHaveLength(27);
});

describe.each(["corners", "centres", "bicubic"])("%s", (kind) => {
  test.each(cases.filter((name) => name.startsWith(kind)))("%s", (name) => {
    const [, size, source] = /^\w+ (\S+) of (.*)$/.exec(name)!;
    const [width, height] = size!.split("x").map(Number) as [number, number];
    const ours = resizings[kind]!(tensors.get(source!) as Image, width, height);
    // TensorFlow's and Pillow's steps are known one by one; torch may use other ones on other processors.
    expect(largestGap(ours, tensors.get(name)!)).toBeLessThanOrEqual(kind === "centres" ? 1e-4 : 0);
  });
});

test("the kinds differ by much more than they may be wrong", () => {
  const image = tensors.get("32x32") as Image;
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
