/** Images as bytes, grids and PNG files. */

import { decode } from "fast-png";
import { describe, expect, test } from "vitest";
import { float32, NDArray } from "../../src/array/ndarray.ts";
import { byteOf, encodePng, grayToRgb, imageBytes, imageGrid } from "../../src/formats/image-bytes.ts";

test("numbers become bytes as torch.clamp(127.5 * x + 128, 0, 255).to(uint8) makes them", () => {
  const values = [-2, -1, -0.999, 0, 0.0039, 0.00393, 0.5, 0.9999, 1, 3, Number.POSITIVE_INFINITY];
  const bytes = imageBytes(float32(values, [1, 1, 1, values.length])).data.filter((_, i) => i % 3 === 0);
  expect([...bytes]).toEqual([0, 0, 0, 128, 128, 128, 191, 255, 255, 255, 255]);
  expect(byteOf(1)).toBe(255); // 255.5 is clamped before it is cut
});

test("channels come last, and gray has three equal ones", () => {
  const rgb = float32([-1, 0, 0, 1, 1, -1], [1, 3, 1, 2]);
  expect([...imageBytes(rgb).data]).toEqual([0, 128, 255, 128, 255, 0]);
  const gray = imageBytes(float32([-1, 0, 1, -1], [2, 1, 1, 2]));
  expect(gray.shape).toEqual([2, 1, 2, 3]);
  expect([...gray.data]).toEqual([0, 0, 0, 128, 128, 128, 255, 255, 255, 0, 0, 0]);
  const bytes = new NDArray("uint8", [2, 1, 2], Uint8Array.of(1, 2, 3, 4));
  expect(grayToRgb(bytes).shape).toEqual([2, 1, 2, 3]);
  expect([...grayToRgb(bytes.reshape([2, 1, 2, 1])).data]).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
});

test("latents are no images", () => {
  expect(() => imageBytes(float32(new Float32Array(8), [1, 4, 1, 2]))).toThrow("expected images [N, 1 or 3, H, W]");
  expect(() => grayToRgb(new NDArray("uint8", [1, 1, 1, 3], new Uint8Array(3)))).toThrow("expected [N, H, W]");
});

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
