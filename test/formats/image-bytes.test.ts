import { expect, test } from "vitest";
import { float32, NDArray } from "../../src/array/ndarray.ts";
import { byteOf, grayToRgb, imageBytes } from "../../src/formats/image-bytes.ts";

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
