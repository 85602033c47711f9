/** Branch outputs predicted from several computed ones. */
import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32 } from "../../../src/array/ndarray.ts";
import { normals } from "../../../src/array/random.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { fitWeights, OLDEST, ProductMeter, pairCount } from "../../../src/sampling/caching/predictor.ts";
import { type CacheRecord, predictedSchedule } from "../../../src/sampling/caching/step-cache.ts";
import { sampleImages } from "../../../src/sampling/sample-images.ts";
import { rows } from "../../conformance/models.ts";

const noise = (index: number) => normals({ seed: 1, purpose: "outputs", step: 0, index }, 64);
const kinds = new Map([["delta.0.mlp", "mlp" as const]]);

/** Products of outputs [evaluation], measured on two rows of which the second is padding. */
function productsOf(outputs: readonly Float32Array[]) {
  const meter = new ProductMeter(kinds, outputs.length);
  const arrays = outputs.map((x) => ({ "delta.0.mlp": float32([...x, ...x.map(() => Number.NaN)], [2, x.length]) }));
  for (const i of arrays.keys()) meter.add(i, arrays.slice(Math.max(0, i - OLDEST), i + 1).reverse(), 2, 1);
  return meter.products();
}

describe("weights", () => {
  test("find a combination of earlier outputs, whatever it is, and that a single one is not enough", () => {
    const [a, b] = [noise(0), noise(1)];
    const products = productsOf([a, b, a.map((x, i) => 1.5 * b[i]! - 0.5 * x)]).mlp;
    const { weights, error } = fitWeights(products[2]!, [1, 2]);
    expect(weights[0]).toBeCloseTo(1.5, 4);
    expect(weights[1]).toBeCloseTo(-0.5, 4);
    expect(error).toBeLessThan(1e-2);
    expect(fitWeights(products[2]!, [1]).error).toBeGreaterThan(0.2);
  });

  test("of outputs that do not change are finite, and of unrelated ones next to nothing", () => {
    const a = noise(0);
    const same = fitWeights(productsOf([a, a, a]).mlp[2]!, [1, 2]);
    expect(same.weights.reduce((sum, w) => sum + w)).toBeCloseTo(1, 4);
    const other = fitWeights(productsOf([noise(2), noise(3), noise(4)]).mlp[2]!, [1, 2]);
    expect(other.error).toBeGreaterThan(0.9);
  });

  test("come from as many products as there are pairs of ages, and from finite numbers", () => {
    const products = productsOf(Array.from({ length: 9 }, (_, i) => noise(i))).mlp;
    expect(products.map((list) => list.length)).toEqual(products.map((_, i) => pairCount(i)));
    expect(() => productsOf([noise(0).fill(Number.NaN)])).toThrow(InputError);
  });
});

test("a schedule predicts where that is precise, and computes the first, the last and what is too old", () => {
  const [a, b] = [noise(0), noise(1)];
  const line = Array.from({ length: 12 }, (_, t) => a.map((x, i) => x + t * b[i]!));
  const products = { attention: [], mlp: productsOf(line).mlp };
  const { schedule, weights } = predictedSchedule(products, 12, 0.01, 2);
  expect(schedule.attention).toEqual(new Array(12).fill(false));
  expect(schedule.mlp.slice(0, 2)).toEqual([false, false]); // a line needs two points
  expect([schedule.mlp[2], schedule.mlp[11]]).toEqual([true, false]);
  expect(weights.mlp[2]!.map((w) => Math.round(w * 1000))).toEqual([2000, -1000]);
  for (let i = 0; i + 3 < 12; i++) expect(schedule.mlp.slice(i, i + 4)).toContain(false);
  expect(predictedSchedule(products, 12, 0.01, 1).schedule.mlp.filter(Boolean).length).toBeLessThan(
    schedule.mlp.filter(Boolean).length,
  );
});

describe.each(rows.filter(({ process }) => process.kind !== "tokens"))("$name", (row) => {
  const engine = cpuEngine({ threads: 1 });
  const { model, weights, process } = row;
  const draw = (change: object) =>
    sampleImages({ engine, model, weights, process, labels: 4, seed: 7, internalBatch: 4, steps: "9", ...change });
  const recordOf = (derived: Readonly<Record<string, unknown>>) => derived.cache as CacheRecord;

  test("is sampled nearer to what it gives without a cache, for the same computed branches", async () => {
    const plain = await draw({});
    const predicted = await draw({ cache: 1e9, cacheImages: 2, cacheHistory: 2 });
    const reused = await draw({ cache: 1e9, cacheImages: 2 });
    const [two, one] = [recordOf(predicted.derived), recordOf(reused.derived)];
    expect(two.computedAt).toEqual(one.computedAt);
    expect(two.residentBytes).toBe(2 * one.residentBytes);
    const distance = ({ images }: typeof plain) =>
      images.data.reduce((sum, x, i) => sum + (x - plain.images.data[i]!) ** 2, 0);
    expect(distance(predicted)).toBeGreaterThan(0);
    expect(distance(predicted)).toBeLessThan(distance(reused));
    expect(predicted.settings.cacheHistory).toBe(2);
  }, 30_000);

  test("is sampled the same from curves that were measured before, which must have what it needs", async () => {
    const settings = { cache: 1e9, cacheHistory: 3 };
    const measured = await draw({ ...settings, cacheImages: 2 });
    const { curves } = recordOf(measured.derived);
    const again = await draw({ ...settings, cacheCurves: JSON.parse(JSON.stringify(curves)) });
    expect([...again.images.data]).toEqual([...measured.images.data]);
    const { products: _, ...without } = curves;
    await expect(draw({ ...settings, cacheCurves: without })).rejects.toThrow(/was measured without `cacheHistory`/);
    await expect(draw({ cache: 1, cacheHistory: 4 })).rejects.toThrow(/expected a history of 1 to 3 outputs, got 4/);
    await expect(draw({ cacheHistory: 2 })).rejects.toThrow(/without a tolerance/);
  }, 30_000);
});
