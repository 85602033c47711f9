/** What holds for sampling from every family with every sampler it has. */
import { describe, expect, it } from "vitest";
import { float32, type NDArray } from "../../src/array/ndarray.ts";
import "../golden/matchers.ts";
import { draw } from "./draw.ts";
import { largest } from "./evaluate.ts";
import { rows } from "./models.ts";

const bits = (images: NDArray, first: number, end: number): number[] => [
  ...(images.rows(first, end).data as Float32Array),
];
const combined = (a: NDArray, b: NDArray, of: (a: number, b: number) => number): NDArray =>
  float32(
    (a.data as Float32Array).map((x, i) => of(x, Number(b.data[i]))),
    a.shape,
  );

describe.each(rows)("$name: sampling", (row) => {
  const { numClasses } = row.model.config;
  const samplers = Object.entries(row.samplers);

  it.each(samplers)("by %s: an image depends on seed, number and label only", async (_, settings) => {
    const many = await draw(row, 40, settings);
    expect(largest(many)).toBeLessThan(1e6);
    expect(bits(await draw(row, 4, settings), 0, 4)).toEqual(bits(many, 0, 4));
    // Not the last bit: numbers beside a whole SIMD register take another sine.
    const cutElsewhere = await draw(row, 11, { ...settings, internalBatch: 5 });
    expect(cutElsewhere).toMatchGolden(many.rows(0, 11), { relative: 1e-5 });
    expect(new Set(bits(many, 0, 40)).size).toBeGreaterThan(many.size / 2);
    expect(bits(await draw(row, 4, { ...settings, seed: 8 }), 0, 4)).not.toEqual(bits(many, 0, 4));
  });

  it.each(samplers)("by %s: guidance changes nothing without a label, and images with one", async (_, settings) => {
    const none = new Int32Array(3).fill(numClasses);
    const plain = await draw(row, none, { ...settings, cfgScale: 1 });
    expect(await draw(row, none, { ...settings, cfgScale: 3 })).toMatchGolden(plain, { relative: 1e-4 });
    const labelled = await draw(row, 3, { ...settings, cfgScale: 1 });
    expect(labelled).not.toMatchGolden(plain, { relative: 1e-2 });
    expect(await draw(row, 3, { ...settings, cfgScale: 3 })).not.toMatchGolden(labelled, { relative: 1e-2 });
  });

  it("is guided by unlabelled + scale · (labelled − unlabelled), where 1 is no guidance", async () => {
    const none = await draw(row, new Int32Array(6).fill(numClasses), { ...row.affine, cfgScale: 1 });
    const labelled = await draw(row, 6, { ...row.affine, cfgScale: 1 });
    const away = combined(labelled, none, (a, b) => a - b);
    expect(largest(away)).toBeGreaterThan(1e-3);
    for (const cfgScale of [0, 0.5, 1 + 1e-6, 4]) {
      const guided = await draw(row, 6, { ...row.affine, cfgScale });
      const wanted = combined(away, none, (a) => cfgScale * a);
      const found = combined(guided, none, (a, b) => a - b);
      expect(found).toMatchGolden(wanted, { relative: 1e-3, floor: 1e-3 * largest(away) });
    }
  });
});
