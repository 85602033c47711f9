import { describe, expect, test } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import { imageGrid } from "../../src/formats/image-grid.ts";

/** Lines of hexadecimal gray pixels. */
function drawn(...parameters: Parameters<typeof imageGrid>): string[] {
  const { shape, data } = imageGrid(...parameters);
  const [height, width] = shape as [number, number];
  return Array.from({ length: height }, (_, y) =>
    [...data.subarray(y * width, (y + 1) * width)].map((v) => v.toString(16).padStart(2, "0")).join(" "),
  );
}

describe("image grid", () => {
  test("bytes are clamp(127.5 x + 128, 0, 255), cut to integers", () => {
    const x = [-2, -1, -0.996, 0, 0.001, 0.5, 1, 7, Number.NaN];
    expect([...imageGrid(float32(x, [1, 1, 1, 9]), 1).data]).toEqual([0, 0, 1, 128, 128, 191, 255, 255, 0]);
  });

  test("images stand row by row with gaps, and empty places are white", () => {
    const images = float32([-1, 0, 0, 0, -1, -1], [3, 1, 1, 2]);
    expect(drawn(images, 2, { gap: 1 })).toEqual(["00 80 ff 80 80", "ff ff ff ff ff", "00 00 ff ff ff"]);
    expect(drawn(images, 3, { gap: 0 })).toEqual(["00 80 80 80 00 00"]);
  });

  test("scale repeats pixels in both directions", () => {
    expect(drawn(float32([-1, 0], [1, 1, 1, 2]), 4, { scale: 2 })).toEqual(["00 00 80 80", "00 00 80 80"]);
  });

  test("colour planes become interleaved pixels", () => {
    const grid = imageGrid(float32([-1, 0, 0, -1, 1, 1], [1, 3, 1, 2]), 1);
    expect(grid.shape).toEqual([1, 2, 3]);
    expect([...grid.data]).toEqual([0, 128, 255, 128, 0, 255]);
  });

  test("other shapes and sizes are refused", () => {
    expect(() => imageGrid(float32([1, 2], [1, 2, 1, 1]), 1)).toThrow(/expected images/);
    expect(() => imageGrid(float32([], [0, 1, 2, 2]), 1)).toThrow(/expected images/);
    expect(() => imageGrid(float32([1], [1, 1, 1, 1]), 0)).toThrow(/columns 0/);
    expect(() => imageGrid(float32([1], [1, 1, 1, 1]), 1, { scale: 0.5 })).toThrow(/scale 0.5/);
  });
});
