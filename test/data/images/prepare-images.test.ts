import { expect, test } from "vitest";
import { NDArray } from "../../../src/array/ndarray.ts";
import { unitImages } from "../../../src/data/images/prepare-images.ts";

// Two pixels side by side: (0, 1, 2) and (128, 254, 255).
const picture = new NDArray("uint8", [1, 2, 3], Uint8Array.of(0, 1, 2, 128, 254, 255));
// torch.tensor([0, 1, 2, 128, 254, 255], dtype=torch.uint8).to(torch.float32).div(255).sub(0.5).div(0.5)
const [v0, v1, v2] = [-1, -0.9921568632125854, -0.9843137264251709];
const [v128, v254, v255] = [0.003921627998352051, 0.9921568632125854, 1];

test("pixels become channels in [−1, 1], with the bits of torchvision", () => {
  const { shape, data } = unitImages([picture, picture]);
  expect(shape).toEqual([2, 3, 1, 2]);
  expect([...data.subarray(0, 6)]).toEqual([v0, v128, v1, v254, v2, v255]);
  expect(data.subarray(6)).toEqual(data.subarray(0, 6));
});

test("mirrored, left and right change places", () => {
  expect([...unitImages([picture], true).data]).toEqual([v128, v0, v254, v1, v255, v2]);
});
