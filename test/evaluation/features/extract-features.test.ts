import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import {
  extractFeatures,
  type FeatureNetwork,
  featureFolder,
} from "../../../src/evaluation/features/extract-features.ts";
import { encodeNpz } from "../../../src/formats/npz.ts";
import { madeUpImages, madeUpNetwork } from "../made-up-images.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "features-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Images of one pixel whose value is `value(i)`. */
const pixels = (count: number, value = (i: number) => i % 256) => madeUpImages(count, value);

/** Sees the value and its double. */
function counting(settings = {}): FeatureNetwork & { readonly seen: number } {
  let seen = 0;
  const see = (x: number) => {
    seen++;
    return { pooled: [x], spatial: [x, 2 * x] };
  };
  const network = madeUpNetwork(see, { name: "counting", settings });
  return {
    ...network,
    get seen() {
      return seen;
    },
  };
}

test("features come in the order of the images, over the ends of pieces", async () => {
  const features = await extractFeatures({ network: counting(), images: pixels(2345) });
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
  const stopped = extractFeatures({ network, images, folder, signal: stop.signal, onProgress });
  await expect(stopped).rejects.toThrow(/abort/i);
  const after = counting();
  const fresh: number[] = [];
  const features = await extractFeatures({ network: after, images, folder, onProgress: (_, new_) => fresh.push(new_) });
  expect(after.seen).toBe(1500);
  expect([fresh[0], fresh[1], fresh.at(-1), fresh.length]).toEqual([0, 50, 1500, 31]);
  expect(features).toEqual(await extractFeatures({ network: counting(), images }));
});

test("other images, another network or other settings do not find stored features", async () => {
  await extractFeatures({ network: counting(), images: pixels(30), folder });
  const cases = [
    [counting({ resize: "clean" }), pixels(30)],
    [{ ...counting(), name: "other" }, pixels(30)],
    [counting(), pixels(31)],
    [counting(), pixels(30, (i) => i + 1)],
    [counting(), pixels(30, (i) => (i === 17 ? 99 : i))], // whichever image it is that changed
  ] as const;
  for (const [network, images] of cases) {
    const fresh: number[] = [];
    await extractFeatures({ network, images, folder, onProgress: (_, new_) => fresh.push(new_) });
    expect(fresh).toEqual([images.count]);
  }
});

test("a set that grew is looked at from its first new piece on", async () => {
  await extractFeatures({ network: counting(), images: pixels(2000), folder });
  const network = counting();
  const features = await extractFeatures({ network, images: pixels(2300), folder });
  expect(network.seen).toBe(300);
  expect(features).toEqual(await extractFeatures({ network: counting(), images: pixels(2300) }));
});

test("images with files are known again by these, and decoded only if one of them changed", async () => {
  let decoded = 0;
  const filed = (changed?: number) => {
    const images = madeUpImages(30, (i) => i);
    return {
      ...images,
      files: (first: number, rows: number) =>
        Array.from({ length: rows }, (_, k) => Uint8Array.of(first + k, first + k === changed ? 1 : 0)),
      async read(first: number, rows: number) {
        decoded += rows;
        return images.read(first, rows);
      },
    };
  };
  const NAME = 2; // images that the name of the place is made from
  for (const [images, expected] of [
    [filed(), NAME + 30],
    [filed(), NAME],
    [filed(17), NAME + 30],
    [filed(17), NAME],
  ] as const) {
    decoded = 0;
    const { pooled } = await extractFeatures({ network: counting(), images, folder });
    expect(decoded).toBe(expected);
    expect(pooled.data[29]).toBe(29);
  }
});

test("a piece of another content is named, with what to do", async () => {
  const images = pixels(30);
  await extractFeatures({ network: counting(), images, folder });
  const [key] = readdirSync(folder);
  const piece = join(folder, key!, "00000.npz");
  writeFileSync(piece, Buffer.concat([...encodeNpz(new Map([["pooled", float32([1, 2], [2, 1])]]))]));
  await expect(extractFeatures({ network: counting(), images, folder })).rejects.toThrow(
    `${piece}: expected features of 30 images and their checksum, found pooled float32 [2,1]; remove the file`,
  );
});

test.each<[string, (bytes: Buffer) => Buffer]>([
  ["cut off", (bytes) => bytes.subarray(0, 100)],
  ["empty", () => Buffer.alloc(0)],
  ["flipped in its features", (bytes) => Buffer.from(bytes.map((byte, i) => (i === 180 ? byte ^ 1 : byte)))],
])("a stored piece that is %s is computed again", async (_, damaged) => {
  const images = pixels(30);
  const whole = await extractFeatures({ network: counting(), images, folder });
  const place = await featureFolder(folder, { network: counting(), images });
  const piece = join(place, "00000.npz");
  const bytes = readFileSync(piece);
  writeFileSync(piece, damaged(bytes));
  const network = counting();
  expect(await extractFeatures({ network, images, folder })).toEqual(whole);
  expect(network.seen).toBe(30);
  expect(readFileSync(piece).equals(bytes)).toBe(true);
});
