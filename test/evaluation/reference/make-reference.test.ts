import { expect, test } from "vitest";
import type { ImageSet } from "../../../src/data/images/image-set.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { extractFeatures } from "../../../src/evaluation/features/extract-features.ts";
import { gaussianStats } from "../../../src/evaluation/metrics/gaussian-stats.ts";
import { type MetricKernels, withMetricKernels } from "../../../src/evaluation/metrics/kernels.ts";
import { imagesSha256, makeReference } from "../../../src/evaluation/reference/reference.ts";
import { madeUpImages, madeUpNetwork } from "../made-up-images.ts";

const COUNT = 2300;
/** Image i has the bytes of i in its pixels. */
const numbered = (count = COUNT, height = 1) =>
  madeUpImages(count, (i, channel) => (i >> (8 * channel)) & 255, { name: "numbered", height, isLossy: true });

/** Sees the number, its root and its parity. */
const network = madeUpNetwork(
  (low, high) => {
    const x = low + 256 * high;
    return { pooled: [x, Math.sqrt(x)], spatial: [x % 2] };
  },
  { name: "counting", settings: { of: "numbers" } },
);

const withKernels = <T>(use: (kernels: MetricKernels) => Promise<T>) =>
  withMetricKernels(cpuEngine({ threads: 1 }), use);

test("statistics are of all images, features and pictures of as many as are kept, over the ends of pieces", async () => {
  const images = numbered();
  const { found, pooled, spatial } = await withKernels(async (kernels) => {
    const all = await extractFeatures({ network, images });
    return {
      found: await makeReference({ kernels, network, images, keep: 700 }),
      pooled: await gaussianStats(kernels, all.pooled),
      spatial: await gaussianStats(kernels, all.spatial!),
    };
  });
  expect(found).toMatchObject({ name: "numbered", count: COUNT, size: [1, 1], isLossy: true });
  expect(found.network).toEqual({ name: "counting", settings: { of: "numbers" } });
  expect([...found.pooled.covariance]).toEqual([...pooled.covariance]);
  expect([...found.spatial!.mean]).toEqual([...spatial.mean]);
  const kept = Array.from({ length: 700 }, (_, i) => found.features!.data[2 * i]!);
  expect(kept).toEqual([...new Set(kept)].sort((a, b) => a - b));
  expect(new Set(kept.map((number) => Math.floor(number / 1000)))).toEqual(new Set([0, 1, 2]));
  const pictured = Array.from({ length: 700 }, (_, i) => {
    const [low, high] = found.pictures!.data.subarray(3 * i);
    return low! + 256 * high!;
  });
  expect(pictured).toEqual(kept);
});

test("all are kept where there are fewer, and the signal stops it", async () => {
  const request = { network, images: numbered(30) };
  const found = await withKernels((kernels) => makeReference({ kernels, ...request, keep: 700 }));
  expect(found.features!.shape).toEqual([30, 2]);
  const signal = AbortSignal.abort(new Error("stopped"));
  await expect(withKernels((kernels) => makeReference({ kernels, ...request, signal }))).rejects.toThrow("stopped");
});

test("the identity of images that are decoded is that of their files, which are all that is read", async () => {
  const read = async () => expect.fail("decoded");
  const ofFiles = (...texts: string[]) =>
    madeUpImages(texts.length, () => 0, {
      read,
      files: (first, rows) => texts.slice(first, first + rows).map((text) => new TextEncoder().encode(text)),
    });
  const sets = [ofFiles("ab", "c"), ofFiles("a", "bc"), ofFiles("ab", "d"), ofFiles("c", "ab")];
  expect(new Set(await Promise.all(sets.map(imagesSha256))).size).toBe(4);
  expect(await imagesSha256(ofFiles("ab", "c"))).toBe(await imagesSha256(sets[0]!));
});

test("the identity of images is that of each pixel, and of their size", async () => {
  const known = await imagesSha256(numbered(120));
  expect(await imagesSha256(numbered(120))).toBe(known);
  const images = numbered(120);
  const changed: ImageSet = {
    ...images,
    async read(first, rows) {
      const read = await images.read(first, rows);
      if (first <= 77 && 77 < first + rows) read.data[3 * (77 - first) + 2]!++;
      return read;
    },
  };
  const others = await Promise.all([changed, numbered(119), { ...numbered(60, 2) }].map(imagesSha256));
  expect(new Set([known, ...others]).size).toBe(4);
});
