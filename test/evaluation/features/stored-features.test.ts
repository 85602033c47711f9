import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { float32, NDArray } from "../../../src/array/ndarray.ts";
import type { FeatureNetwork } from "../../../src/evaluation/features/feature-network.ts";
import { lookAt } from "../../../src/evaluation/features/stored-features.ts";
import type { ImageSet } from "../../../src/evaluation/images/image-set.ts";
import { encodeNpz } from "../../../src/formats/npz.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "features-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Images of one pixel whose value is `value(i)`. */
const pixels = (count: number, value = (i: number) => i % 256): ImageSet => ({
  name: "pixels",
  kind: "npz",
  count,
  height: 1,
  width: 1,
  isLossy: false,
  read: async (first, rows) =>
    new NDArray(
      "uint8",
      [rows, 1, 1, 3],
      Uint8Array.from({ length: 3 * rows }, (_, k) => value(first + Math.floor(k / 3))),
    ),
});

/** Sees the value and its double. */
function counting(settings = {}): FeatureNetwork & { seen: number } {
  return {
    name: "counting",
    settings,
    seen: 0,
    async features(images) {
      const n = images.shape[0]!;
      this.seen += n;
      const values = Array.from({ length: n }, (_, i) => images.data[3 * i]!);
      return {
        pooled: float32(values, [n, 1]),
        spatial: float32(
          values.flatMap((x) => [x, 2 * x]),
          [n, 2],
        ),
      };
    },
    release: async () => {},
  };
}

test("features come in the order of the images, over the ends of pieces", async () => {
  const features = await lookAt({ network: counting(), images: pixels(2345) });
  expect(features.pooled.shape).toEqual([2345, 1]);
  expect(features.spatial?.shape).toEqual([2345, 2]);
  expect(features.probabilities).toBeUndefined();
  for (const i of [0, 999, 1000, 2000, 2344]) expect(features.pooled.data[i]).toBe(i % 256);
});

test("a look that was stopped goes on from its last finished piece, with the same features", async () => {
  const images = pixels(2500);
  const stop = new AbortController();
  const network = counting();
  const onProgress = (done: number) => done === 1150 && stop.abort();
  const stopped = lookAt({ network, images, folder, signal: stop.signal, onProgress });
  await expect(stopped).rejects.toThrow(/abort/i);
  const after = counting();
  const fresh: number[] = [];
  const features = await lookAt({ network: after, images, folder, onProgress: (_, new_) => fresh.push(new_) });
  expect(after.seen).toBe(1500);
  expect([fresh[0], fresh[1], fresh.at(-1), fresh.length]).toEqual([0, 50, 1500, 31]);
  expect(features).toEqual(await lookAt({ network: counting(), images }));
});

test("other images, another network or other settings do not find stored features", async () => {
  await lookAt({ network: counting(), images: pixels(30), folder });
  const cases = [
    [counting({ resize: "clean" }), pixels(30)],
    [{ ...counting(), name: "other" }, pixels(30)],
    [counting(), pixels(31)],
    [counting(), pixels(30, (i) => i + 1)],
    [counting(), pixels(30, (i) => (i === 17 ? 99 : i))], // whichever image it is that changed
  ] as const;
  for (const [network, images] of cases) {
    const fresh: number[] = [];
    await lookAt({ network, images, folder, onProgress: (_, new_) => fresh.push(new_) });
    expect(fresh).toEqual([images.count]);
  }
});

test("a set that grew is looked at from its first new piece on", async () => {
  await lookAt({ network: counting(), images: pixels(2000), folder });
  const network = counting();
  const features = await lookAt({ network, images: pixels(2300), folder });
  expect(network.seen).toBe(300);
  expect(features).toEqual(await lookAt({ network: counting(), images: pixels(2300) }));
});

test("a damaged piece is named, with what to do", async () => {
  const images = pixels(30);
  await lookAt({ network: counting(), images, folder });
  const [key] = readdirSync(folder);
  const piece = join(folder, key!, "00000.npz");
  writeFileSync(piece, Buffer.concat([...encodeNpz(new Map([["pooled", float32([1, 2], [2, 1])]]))]));
  await expect(lookAt({ network: counting(), images, folder })).rejects.toThrow(
    `${piece}: expected features of 30 images and their checksum, found pooled float32 [2,1]; remove the file`,
  );
});
