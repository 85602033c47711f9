import { describe, expect, test } from "vitest";
import {
  gumbels,
  hashPurpose,
  integers,
  normals,
  normalsInto,
  permutation,
  type RandomKey,
  streamOf,
  uniforms,
} from "../../src/array/random.ts";

const key: RandomKey = { seed: 7, purpose: "noise", step: 3, index: 11 };

function moments(values: ArrayLike<number>): { mean: number; variance: number } {
  const list = Array.from(values);
  const mean = list.reduce((sum, v) => sum + v, 0) / list.length;
  const variance = list.reduce((sum, v) => sum + (v - mean) ** 2, 0) / list.length;
  return { mean, variance };
}

describe("random keys", () => {
  test("purposes are hashed by FNV-1a", () => {
    expect(hashPurpose("")).toBe(0x811c9dc5);
    expect(hashPurpose("foobar")).toBe(0xbf9cf968);
  });

  test("the same key gives the same numbers", () => {
    expect(normals(key, 100)).toEqual(normals({ ...key }, 100));
  });

  test.each<Partial<RandomKey>>([
    { seed: 8 },
    { seed: 7 + 2 ** 32 },
    { purpose: "noisf" },
    { step: 4 },
    { index: 12 },
  ])("another %o gives other numbers", (change) => {
    const a = uniforms(key, 64);
    const b = uniforms({ ...key, ...change }, 64);
    expect(a.filter((value, i) => value === b[i]).length).toBe(0);
  });

  test("every field of a key reaches the stream unmixed", () => {
    expect(streamOf({ seed: 2 ** 53 - 1, purpose: "", step: 5, index: 6 })).toEqual({
      key: [0xffffffff, 0x1fffff],
      counter: [6, 5, 0x811c9dc5],
    });
  });

  test.each<Partial<RandomKey>>([
    { seed: -1 },
    { seed: 2 ** 53 },
    { step: 1.5 },
    { index: 2 ** 32 },
    { step: Number.NaN },
  ])("%o is refused", (change) => {
    expect(() => uniforms({ ...key, ...change }, 1)).toThrow(RangeError);
  });
});

describe("draws", () => {
  test.each([
    ["uniforms", uniforms],
    ["normals", normals],
    ["gumbels", gumbels],
    ["integers", (k: RandomKey, n: number) => integers(k, n, 1000)],
  ])("a shorter draw of %s is a prefix of a longer one, also across chunks", (_name, draw) => {
    const long = draw(key, 10_001);
    for (const length of [0, 1, 5, 4096, 4097, 9999]) expect(draw(key, length)).toEqual(long.slice(0, length));
  });

  test("uniforms are 24-bit numbers in [0, 1) with the right moments", () => {
    const values = uniforms(key, 200_000);
    expect(values.every((v) => v >= 0 && v < 1 && Number.isInteger(v * 2 ** 24))).toBe(true);
    const { mean, variance } = moments(values);
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.003);
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.001);
  });

  test("normals have the moments and tails of a normal distribution", () => {
    const values = normals(key, 400_000);
    const { mean, variance } = moments(values);
    expect(Math.abs(mean)).toBeLessThan(0.006);
    expect(Math.abs(variance - 1)).toBeLessThan(0.01);
    const beyondTwo = values.filter((v) => Math.abs(v) > 2).length / values.length;
    expect(Math.abs(beyondTwo - 0.0455)).toBeLessThan(0.0015);
    let neighbours = 0;
    for (let i = 1; i < values.length; i++) neighbours += (values[i]! * values[i - 1]!) / values.length;
    expect(Math.abs(neighbours)).toBeLessThan(0.006);
  });

  test("normals fill a subarray and nothing beyond it", () => {
    const target = new Float32Array(9);
    normalsInto(target.subarray(2, 5), key);
    expect(target.subarray(2, 5)).toEqual(normals(key, 3));
    expect([...target.subarray(0, 2), ...target.subarray(5)]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test("gumbels have mean γ and variance π²/6", () => {
    const { mean, variance } = moments(gumbels(key, 400_000));
    expect(Math.abs(mean - 0.5772157)).toBeLessThan(0.008);
    expect(Math.abs(variance - Math.PI ** 2 / 6)).toBeLessThan(0.03);
  });

  test("integers are even over their range", () => {
    const counts = new Array<number>(10).fill(0);
    for (const value of integers(key, 100_000, 10)) counts[value]! += 1;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
    expect([...integers(key, 5, 1)]).toEqual([0, 0, 0, 0, 0]);
    expect(() => integers(key, 1, 0)).toThrow(RangeError);
  });

  test("a permutation holds every number once", () => {
    const order = permutation(key, 5000);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 5000 }, (_, i) => i));
    expect(order.filter((value, i) => value === i).length).toBeLessThan(10);
    expect([...permutation(key, 0)]).toEqual([]);
  });

  test("all six orders of three things are equally likely", () => {
    const counts = new Map<string, number>();
    for (let index = 0; index < 6000; index++) {
      const order = permutation({ ...key, index }, 3).join();
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
