import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { float32, NDArray } from "../../../src/array/ndarray.ts";
import { type Reference, requireComparable } from "../../../src/evaluation/reference/reference.ts";
import { readReferenceFile, writeReferenceFile } from "../../../src/evaluation/reference/reference-file.ts";
import { encodeNpz } from "../../../src/formats/npz.ts";
import { madeUpNetwork } from "../made-up-images.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "reference-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const matrix = (...values: number[]) => new NDArray("float64", [2, 2], Float64Array.from(values));
const vector = (...values: number[]) => new NDArray("float64", [values.length], Float64Array.from(values));

const json = (value: object) => {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return new NDArray("uint8", [bytes.length], bytes);
};

function written(arrays: Record<string, NDArray>): string {
  const path = join(folder, "ref.npz");
  writeFileSync(path, Buffer.concat([...encodeNpz(new Map(Object.entries(arrays)))]));
  return path;
}

const whole: Reference = {
  name: "photographs",
  network: { name: "eyes", settings: { resize: "tf" } },
  count: 3,
  size: [8, 9],
  isLossy: true,
  pooled: { mean: Float64Array.of(1, 2), covariance: Float64Array.of(1, 0.5, 0.5, 2) },
  spatial: { mean: Float64Array.of(7), covariance: Float64Array.of(3) },
  features: float32([1, 2, 3, 4, 5, 6], [3, 2]),
  pictures: new NDArray("uint8", [3, 1, 1, 3], Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9)),
};

test("what is written is read again", async () => {
  const path = join(folder, "ref.npz");
  await writeReferenceFile(path, whole);
  expect(await readReferenceFile(path)).toEqual({ ...whole, name: path });
  await writeReferenceFile(path, { ...whole, isNetworkAssumed: true });
  expect(await readReferenceFile(path)).toEqual({ ...whole, name: path, isNetworkAssumed: true });
});

test("a file with nothing but the statistics of pooled features, in float32, as others publish them", async () => {
  const sigma = new NDArray("float32", [2, 2], Float32Array.of(1, 0.5, 0.5, 2));
  const path = written({ mu: float32([1, 2]), sigma });
  expect(await readReferenceFile(path)).toEqual({ name: path, pooled: whole.pooled });
});

describe("refused", () => {
  const good = { mu: vector(0, 0), sigma: matrix(1, 0, 0, 1) };
  const cases: [string, Record<string, NDArray>, RegExp][] = [
    ["no sigma", { mu: good.mu }, /expected mu \[d\] and sigma \[d, d\], found \[2\] and none/],
    ["other dimensions", { mu: vector(0, 0, 0), sigma: good.sigma }, /found \[3\] and \[2,2\]/],
    ["not finite", { mu: vector(0, Number.NaN), sigma: good.sigma }, /mu: expected finite numbers, found NaN at \[1\]/],
    ["a negative variance", { mu: good.mu, sigma: matrix(1, 0, 0, -1) }, /expected variances, found -1 at 1/],
    ["not symmetric", { mu: good.mu, sigma: matrix(1, 0.5, 0, 1) }, /symmetric matrix/],
    [
      "integers",
      { mu: new NDArray("int32", [2], Int32Array.of(0, 0)), sigma: good.sigma },
      /float64 or float32, found int32/,
    ],
    ["half the spatial statistics", { ...good, mu_s: vector(1) }, /expected mu_s \[d\] and sigma_s/],
    [
      "features of another width",
      { ...good, features: float32([1, 2, 3], [1, 3]) },
      /features float32 \[any, 2\], found float32 \[1,3\]/,
    ],
    [
      "features that are not finite",
      { ...good, features: float32([1, 2, 3, Number.POSITIVE_INFINITY, 5, 6], [3, 2]) },
      /features: expected finite numbers, found Infinity at \[1, 1\]/,
    ],
    [
      "pictures without pixels",
      { ...good, features: float32([1, 2], [1, 2]), pictures: new NDArray("uint8", [1, 0, 0, 3], new Uint8Array()) },
      /pictures uint8 \[1, any, any, 3\], found uint8 \[1,0,0,3\]/,
    ],
    [
      "a description that is no JSON",
      { ...good, description: new NDArray("uint8", [1], Uint8Array.of(123)) },
      /its description/,
    ],
    [
      "a description without a network",
      { ...good, description: json({ size: [8, 9] }) },
      /names no network or no size/,
    ],
    [
      "a description with half a network",
      { ...good, description: json({ network: { name: "eyes", settings: null }, size: [8, 9] }) },
      /names no network/,
    ],
    [
      "a description of no size",
      { ...good, description: json({ network: { name: "eyes", settings: {} }, size: ["8", 9] }) },
      /names no network or no size/,
    ],
    ["no statistics at all", { other: vector(1) }, /expected arrays mu and sigma, found other/],
  ];
  test.each(cases)("%s", async (_, arrays, message) => {
    const path = written(arrays);
    await expect(readReferenceFile(path)).rejects.toThrow(message);
    await expect(readReferenceFile(path)).rejects.toThrow(path);
  });
});

describe("comparable", () => {
  const network = madeUpNetwork(() => ({ pooled: [] }), whole.network!);
  const samples = { name: "samples.npz", height: 8, width: 9 };

  test("the same network, settings and size", () => {
    expect(() => requireComparable(whole, network, samples)).not.toThrow();
  });

  test("another network, other settings, another size are refused by name", () => {
    expect(() => requireComparable(whole, { ...network, name: "ears" }, samples)).toThrow(
      /photographs: expected features of ears \(resize tf\), found those of eyes \(resize tf\)/,
    );
    expect(() => requireComparable(whole, { ...network, settings: { resize: "clean" } }, samples)).toThrow(
      /resize clean/,
    );
    expect(() => requireComparable(whole, network, { ...samples, height: 9 })).toThrow(
      /expected images of 9 × 9 as in samples.npz, found 8 × 9/,
    );
  });
});
