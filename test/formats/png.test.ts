import { decode } from "fast-png";
import { describe, expect, test } from "vitest";
import { NDArray } from "../../src/array/ndarray.ts";
import { encodePng } from "../../src/formats/png.ts";

describe("PNG", () => {
  test.each([
    ["gray", [2, 3], 1],
    ["RGB", [2, 3, 3], 3],
  ])("%s pixels come back as written", (_name, shape, channels) => {
    const data = Uint8Array.from({ length: 6 * channels }, (_, i) => (i * 37) % 256);
    const image = decode(encodePng(new NDArray("uint8", shape, data)));
    expect([image.height, image.width, image.channels, image.depth]).toEqual([2, 3, channels, 8]);
    expect([...image.data]).toEqual([...data]);
  });

  test("a view into a larger buffer is written alone", () => {
    const data = Uint8Array.of(9, 9, 1, 2, 3, 4, 9).subarray(2, 6);
    expect([...decode(encodePng(new NDArray("uint8", [2, 2], data))).data]).toEqual([1, 2, 3, 4]);
  });

  test.each([[[4]], [[2, 2, 4]], [[1, 2, 2, 3]], [[0, 3]]])("shape %o is refused", (shape) => {
    const pixels = new NDArray("uint8", shape, new Uint8Array(shape.reduce((a, b) => a * b, 1)));
    expect(() => encodePng(pixels)).toThrow(/expected pixels \[H, W\]/);
  });
});
