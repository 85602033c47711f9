import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { NDArray } from "../../../src/array/ndarray.ts";
import { uniforms } from "../../../src/array/random.ts";
import { cachedImages, decodedImages, greyOf, type PixelSettings } from "../../../src/data/images/image-folder.ts";
import { listImages } from "../../../src/data/images/list-images.ts";
import { openPixelCache } from "../../../src/data/images/pixel-cache.ts";
import { centerCrop, unitImages } from "../../../src/data/images/prepare-images.ts";
import { rowKey } from "../../../src/data/training-set.ts";
import { encodePng } from "../../../src/formats/image-bytes.ts";
import { lockFolder } from "../../../src/storage/lock.ts";
import { noisePicture, plantImages } from "./plant-images.ts";

let folder = "";
let root = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tinyfusion-pixels-"));
  root = join(folder, "pictures");
});
afterEach(() => rmSync(folder, { recursive: true }));

const NAMES = ["circle/1.png", "circle/2.png", "cross/1.png", "cross/2.png", "star/ß 😀.png"];
const SIZE = 8;
const colour: PixelSettings = { size: SIZE, channels: 3, flip: false };

/** Opens the cache; tells what was noted and how many images were decoded. */
async function opened(size = SIZE, signal = new AbortController().signal) {
  const notes: string[] = [];
  let decoded = 0;
  const listing = listImages(root);
  const cache = await openPixelCache({
    listing,
    size,
    folder: join(folder, "cache"),
    signal,
    note: (line) => notes.push(line),
    onProgress: (_done, now) => {
      decoded = now;
    },
  });
  return { listing, cache, notes, decoded };
}

const keys = (count: number) => Array.from({ length: count }, (_, i) => rowKey(1, 2, i));
const crop = (number: number) => centerCrop(noisePicture(number), SIZE);
const shardIn = (path: string) => join(path, readdirSync(path)[0]!);

describe("a folder of images as training data", () => {
  test("is crops in [−1, 1] with the numbers of their class folders, from a cache or straight from the files", async () => {
    plantImages(root, NAMES);
    const { listing, cache, decoded } = await opened();
    expect(decoded).toBe(5);
    for (const set of [cachedImages(listing, cache, colour), decodedImages(listing, colour)]) {
      expect(set).toMatchObject({
        size: 5,
        numClasses: 3,
        shape: [3, SIZE, SIZE],
        classNames: ["circle", "cross", "star"],
      });
      const { images, labels } = await set.read(Int32Array.of(4, 0, 3), keys(3));
      expect([...labels]).toEqual([2, 0, 1]);
      expect(images.shape).toEqual([3, 3, SIZE, SIZE]);
      expect([...images.data]).toEqual([...unitImages([crop(4), crop(0), crop(3)]).data]);
      await expect(set.read(Int32Array.of(5), keys(1))).rejects.toThrow(RangeError);
    }
  });

  test("is grey by Pillow's weights for a model of one channel", async () => {
    plantImages(root, NAMES);
    const { listing, cache } = await opened();
    const set = cachedImages(listing, cache, { ...colour, channels: 1 });
    const { images } = await set.read(Int32Array.of(2), keys(1));
    expect(images.shape).toEqual([1, 1, SIZE, SIZE]);
    expect([...images.data]).toEqual([...unitImages([greyOf(crop(2))]).data]);
    // ITU-R 601-2: 299, 587 and 114 thousandths; the values are those of PIL.Image.convert("L").
    const pixels = new NDArray("uint8", [1, 5, 3], Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30, 7, 7, 7));
    expect([...greyOf(pixels).data]).toEqual([76, 150, 29, 18, 7]);
  });

  test("is mirrored in half of the reads if that is wanted, by the key of a row", async () => {
    plantImages(root, NAMES);
    const { listing, cache } = await opened();
    const set = cachedImages(listing, cache, { ...colour, flip: true });
    const rows = keys(40);
    const { images } = await set.read(new Int32Array(40), rows);
    const flipped = rows.map((key) => uniforms(key("flip"), 1)[0]! < 0.5);
    expect(new Set(flipped).size).toBe(2);
    for (const [row, isFlipped] of flipped.entries()) {
      expect([...images.rows(row, row + 1).data]).toEqual([...unitImages([crop(0)], isFlipped).data]);
    }
  });

  test("has another checksum with other pixels, sizes, labels or mirroring, and the same in another place", async () => {
    plantImages(root, NAMES);
    const sums = new Set<string>();
    const first = await opened();
    const settings: PixelSettings[] = [colour, { ...colour, channels: 1 }, { ...colour, flip: true }];
    for (const one of settings) sums.add(cachedImages(first.listing, first.cache, one).sha256);
    sums.add(cachedImages({ ...first.listing, labels: Int32Array.of(0, 0, 1, 2, 2) }, first.cache, colour).sha256);
    const smaller = await opened(4);
    sums.add(cachedImages(smaller.listing, smaller.cache, { ...colour, size: 4 }).sha256);
    writeFileSync(join(root, NAMES[1]!), encodePng(noisePicture(9)));
    const edited = await opened();
    sums.add(cachedImages(edited.listing, edited.cache, colour).sha256);
    expect(sums.size).toBe(6);

    writeFileSync(join(root, NAMES[1]!), encodePng(noisePicture(1)));
    renameSync(root, join(folder, "elsewhere"));
    root = join(folder, "elsewhere");
    const moved = await opened();
    expect(cachedImages(moved.listing, moved.cache, colour).sha256).toBe(
      cachedImages(first.listing, first.cache, colour).sha256,
    );
  });
});

describe("the cache of a folder", () => {
  test("is used again, whoever asks, and by whatever link", async () => {
    plantImages(root, NAMES);
    const { cache } = await opened();
    symlinkSync(root, join(folder, "link"));
    root = join(folder, "link");
    const again = await opened();
    expect(again).toMatchObject({ decoded: 0, notes: [] });
    expect(again.cache).toEqual(cache);
    expect(readdirSync(cache.path)).toHaveLength(1); // and the lock is gone
  });

  test("is made in shards of bounded size, of which only those are made again that have to be", async () => {
    const many = Array.from({ length: 7 }, (_, i) => `a/${i}.png`);
    plantImages(root, many);
    const size = 1366; // three images fill 16 MB
    const { cache } = await opened(size);
    expect(cache.shardRows).toBe(2);
    expect(cache.shards).toHaveLength(4);
    writeFileSync(join(root, "a/2.png"), encodePng(noisePicture(50)));
    const edited = await opened(size);
    expect(edited.decoded).toBe(2);
    expect(edited.notes).toEqual(["images changed since they were decoded, which is done again: a/2.png"]);
    expect(edited.cache.shards.map((shard, i) => shard.sha256 === cache.shards[i]!.sha256)).toEqual([
      true,
      false,
      true,
      true,
    ]);
    expect(readdirSync(cache.path)).toHaveLength(4); // the old shard is gone
    const [first] = edited.cache.shards;
    const set = cachedImages(edited.listing, edited.cache, { ...colour, size });
    const { images } = await set.read(Int32Array.of(6), keys(1));
    expect(images.data[0]).toBe(unitImages([centerCrop(noisePicture(6), size)]).data[0]);
    rmSync(first!.path);
    await expect(set.read(Int32Array.of(0), keys(1))).rejects.toThrow(
      /removed or made again by another run: start again/,
    );
  }, 60_000);

  test("notices an edit that keeps size and date of a file", async () => {
    plantImages(root, NAMES);
    const path = join(root, NAMES[0]!);
    const { atime, mtime, size } = statSync(path);
    await opened();
    const bytes = readFileSync(path);
    bytes[bytes.length - 20]! ^= 1;
    writeFileSync(path, bytes);
    utimesSync(path, atime, mtime);
    expect(statSync(path).size).toBe(size);
    await expect(opened()).rejects.toThrow(/circle\/1\.png: damaged PNG image/);
  });

  test.each([
    ["cut off", (path: string) => truncateSync(path, statSync(path).size - 9)],
    ["of one other bit", (path: string) => flipBit(path, statSync(path).size - 9)],
    ["with another header", (path: string) => flipBit(path, 40)],
    ["empty", (path: string) => truncateSync(path, 0)],
  ])("makes a shard again that is %s, and says so", async (_name, damage) => {
    plantImages(root, NAMES);
    const { cache } = await opened();
    damage(shardIn(cache.path));
    const again = await opened();
    expect(again).toMatchObject({ decoded: 5, cache });
    expect(again.notes).toEqual([
      expect.stringMatching(/^\S+ is damaged or of other images: decoding its images again$/),
    ]);
  });

  test("goes on where it was stopped", async () => {
    plantImages(
      root,
      Array.from({ length: 7 }, (_, i) => `a/${i}.png`),
    );
    const stop = new AbortController();
    const listing = listImages(root);
    const opening = openPixelCache({
      listing,
      size: 1366,
      folder: join(folder, "cache"),
      signal: stop.signal,
      note: () => {},
      onProgress: (done) => {
        if (done === 4) stop.abort();
      },
    });
    await expect(opening).rejects.toThrow("aborted");
    expect((await opened(1366)).decoded).toBe(3);
  }, 60_000);

  test("names all images that cannot be read, and keeps nothing of them", async () => {
    plantImages(root, [...NAMES, ["star/text.jpg", "no picture"], ["cross/empty.png", ""]]);
    symlinkSync(join(folder, "nowhere"), join(root, "circle/dangling.png"));
    truncateSync(join(root, NAMES[3]!), 100);
    await expect(opened()).rejects.toThrow(InputError);
    await expect(opened()).rejects.toThrow(
      /: 4 of 8 images cannot be used; .*circle\/dangling\.png: cannot .*no such file.*cross\/2\.png: damaged PNG.*cross\/empty\.png: .*empty file.*star\/text\.jpg: expected a JPEG/,
    );
  });

  test("is waited for while another process fills it", async () => {
    plantImages(root, NAMES);
    const { cache } = await opened();
    const release = lockFolder(cache.path);
    const waiting = opened();
    const isFirst = await Promise.race([waiting.then(() => "opened"), pause(100).then(() => "waiting")]);
    expect(isFirst).toBe("waiting");
    release();
    expect((await waiting).notes).toEqual([expect.stringMatching(/^waiting for process \d+ on /)]);
  });
});

function flipBit(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at]! ^= 4;
  writeFileSync(path, bytes);
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
