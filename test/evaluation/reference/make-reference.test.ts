import { expect, test } from "vitest";
import { float32, NDArray } from "../../../src/array/ndarray.ts";
import type { FeatureNetwork } from "../../../src/evaluation/features/feature-network.ts";
import { lookAt } from "../../../src/evaluation/features/stored-features.ts";
import type { ImageSet } from "../../../src/evaluation/images/image-set.ts";
import { gaussianStats } from "../../../src/evaluation/metrics/gaussian-stats.ts";
import { type MetricKernels, withMetricKernels } from "../../../src/evaluation/metrics/kernels.ts";
import { makeReference } from "../../../src/evaluation/reference/make-reference.ts";
import { imagesSha256 } from "../../../src/evaluation/reference/reference-source.ts";
import { cpuEngine } from "../../../src/onnx/node-engine.ts";

const COUNT = 2300;
/** Image i has the bytes of i in its first pixel. */
const numbered = (count = COUNT, height = 1): ImageSet => ({
  ...{ name: "numbered", kind: "npz", count, height, width: 1, isLossy: true },
  read: async (first, rows) =>
    new NDArray(
      "uint8",
      [rows, height, 1, 3],
      Uint8Array.from(
        { length: 3 * height * rows },
        (_, k) => ((first + Math.floor(k / 3 / height)) >> (8 * (k % 3))) & 255,
      ),
    ),
});

/** Sees the number, its root and its parity. */
const network: FeatureNetwork = {
  name: "counting",
  settings: { of: "numbers" },
  async features({ data, shape }) {
    const values = Array.from({ length: shape[0]! }, (_, i) => {
      const at = (data.length / shape[0]!) * i;
      return data[at]! + 256 * data[at + 1]!;
    });
    const pooled = values.flatMap((x) => [x, Math.sqrt(x)]);
    return {
      pooled: float32(pooled, [values.length, 2]),
      spatial: float32(
        values.map((x) => x % 2),
        [values.length, 1],
      ),
    };
  },
  release: async () => {},
};

const withKernels = <T>(use: (kernels: MetricKernels) => Promise<T>) =>
  withMetricKernels(cpuEngine({ threads: 1 }), use);

test("statistics are of all images, features and pictures of as many as are kept, over the ends of pieces", async () => {
  const images = numbered();
  const { found, pooled, spatial } = await withKernels(async (kernels) => {
    const all = await lookAt({ network, images });
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
