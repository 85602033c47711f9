import { expect, test } from "vitest";
import { NDArray, zeros } from "../../../src/array/ndarray.ts";
import {
  type InceptionResizing,
  inceptionResizings,
  writeInceptionInput,
} from "../../../src/evaluation/features/inception.ts";

const SIZE = 299;

/** Gray columns as an image of two equal rows, [1, 2, W, 3]. */
const columns = (...values: number[]) => {
  const row = values.flatMap((value) => [value, value, value]);
  return new NDArray("uint8", [1, 2, values.length, 3], Uint8Array.from([...row, ...row]));
};

/** Keys' cubic with a = −1/2, which Pillow takes. */
function cubic(x: number): number {
  const t = Math.abs(x);
  if (t < 1) return 1.5 * t ** 3 - 2.5 * t ** 2 + 1;
  return t < 2 ? -0.5 * t ** 3 + 2.5 * t ** 2 - 4 * t + 2 : 0;
}

/** Column x of `values`, enlarged to 299 by each way's definition, as the network gets it. */
const definitions: { readonly [K in InceptionResizing]: (values: readonly number[], x: number) => number } = {
  tf(values, x) {
    const at = (x * values.length) / SIZE;
    const left = Math.floor(at);
    const right = Math.min(left + 1, values.length - 1);
    return (values[left]! + (at - left) * (values[right]! - values[left]!) - 128) / 128;
  },
  clean(values, x) {
    const centre = ((x + 0.5) * values.length) / SIZE;
    const weights = values.map((_, i) => cubic(i + 0.5 - centre));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const value = weights.reduce((sum, weight, i) => sum + (weight / total) * values[i]!, 0);
    return (Math.min(255, Math.max(0, value)) - 128) / 128;
  },
  torch(values, x) {
    const at = Math.max(0, ((x + 0.5) * values.length) / SIZE - 0.5);
    const left = Math.min(Math.floor(at), values.length - 1);
    const right = Math.min(left + 1, values.length - 1);
    return (2 * (values[left]! + (at - left) * (values[right]! - values[left]!))) / 255 - 1;
  },
};

test.each(inceptionResizings)("%s enlarges as its definition says, beside black and white too", (resizing) => {
  const values = [0, 255, 255, 40, 0, 90];
  const x = zeros("float32", [2, 3, SIZE, SIZE]);
  writeInceptionInput(columns(...values), resizing, x);
  for (const [channel, y] of [
    [0, 0],
    [1, 150],
    [2, 298],
  ] as const) {
    const row = x.data.subarray((channel * SIZE + y) * SIZE, (channel * SIZE + y + 1) * SIZE);
    row.forEach((value, place) => {
      const expected = definitions[resizing](values, place);
      if (!(Math.abs(value - expected) < 1e-5)) expect.fail(`column ${place} is ${value}, expected ${expected}`);
    });
  }
  expect(x.rows(1, 2).data.every((value) => value === 0)).toBe(true); // only as many images as there are
});

test("clean cuts off what the filter puts beyond black and white, as clean-fid does", () => {
  const x = zeros("float32", [1, 3, SIZE, SIZE]);
  writeInceptionInput(columns(0, 255), "clean", x);
  const { data } = x;
  expect([Math.min(...data.subarray(0, SIZE)), Math.max(...data.subarray(0, SIZE))]).toEqual([-1, 127 / 128]);
  expect(data.subarray(0, SIZE).filter((value) => value === -1).length).toBeGreaterThan(20); // it went beyond
});

test("images stand one behind the other, channels first", () => {
  const pixels = new NDArray("uint8", [2, 1, 1, 3], Uint8Array.of(0, 128, 255, 64, 0, 192));
  const x = zeros("float32", [2, 3, SIZE, SIZE]);
  writeInceptionInput(pixels, "tf", x);
  const planes = Array.from({ length: 6 }, (_, plane) => x.data[(plane + 0.5) * SIZE * SIZE - 0.5]);
  expect(planes).toEqual([-1, 0, 127 / 128, -0.5, -1, 0.5]);
});
