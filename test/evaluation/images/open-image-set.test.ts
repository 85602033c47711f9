/** Image sets of every kind, read whole and in parts, and files that are none. */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zipSync } from "fflate";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32, int32, NDArray } from "../../../src/array/ndarray.ts";
import { integers } from "../../../src/array/random.ts";
import { loadDigits } from "../../../src/data/digits.ts";
import { decodeImage } from "../../../src/data/images/decode-image.ts";
import type { ImageSet } from "../../../src/data/images/image-set.ts";
import { centerCrop } from "../../../src/data/images/prepare-images.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { digitImages, openImageSet } from "../../../src/evaluation/images/open-image-set.ts";
import { imageBytes } from "../../../src/formats/image-bytes.ts";
import { encodeNpy } from "../../../src/formats/npy.ts";
import { encodeNpz } from "../../../src/formats/npz.ts";
import { encodeSafetensors } from "../../../src/formats/safetensors.ts";
import { generateSet } from "../../../src/sampling/generation/generate-set.ts";
import { weightSpecs } from "../../../src/weights/model-file.ts";
import { awakeWeights, tinyModel } from "../../training/tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "image-sets-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...path: string[]) => join(folder, ...path);

const [N, H, W] = [7, 5, 6];
const pixels = (count: number) =>
  Uint8Array.from(integers({ seed: 2, purpose: "pixels", step: 0, index: 0 }, count, 256));
const rgb = new NDArray("uint8", [N, H, W, 3], pixels(N * H * W * 3));
const gray = new NDArray("uint8", [N, H, W], pixels(N * H * W));
const labels = new NDArray("int64", [N], BigInt64Array.from([3, 1, 4, 1, 5, 9, 2], BigInt));

const npz = (name: string, arrays: Record<string, NDArray>) => {
  writeFileSync(at(name), Buffer.concat([...encodeNpz(new Map(Object.entries(arrays)))]));
  return at(name);
};
const values = async (set: ImageSet, first = 0, rows = set.count) => [...(await set.read(first, rows)).data];
const tripled = (data: ArrayLike<number>) => Array.from(data).flatMap((value) => [value, value, value]);

/** Reads in parts of every size and compares them with the whole. */
async function expectParts(set: ImageSet, whole: readonly number[]) {
  const size = set.height * set.width * 3;
  expect(await values(set)).toEqual(whole);
  for (const rows of [1, 2, 3, 5]) {
    for (let first = 0; first < set.count; first += rows) {
      const part = await set.read(first, Math.min(rows, set.count - first));
      expect(part.shape).toEqual([Math.min(rows, set.count - first), set.height, set.width, 3]);
      expect([...part.data]).toEqual(whole.slice(first * size, (first + rows) * size));
    }
  }
  for (const [first, rows] of [
    [-1, 2],
    [0, 0],
    [set.count - 1, 2],
    [0.5, 1],
  ] as const) {
    await expect(set.read(first, rows)).rejects.toThrow(RangeError);
  }
}

describe("a .npz file", () => {
  test("with colour images and labels", async () => {
    const set = await openImageSet(npz("rgb.npz", { arr_0: rgb, arr_1: labels, mu: float32([1, 2]) }));
    expect(set).toMatchObject({ name: at("rgb.npz"), count: N, height: H, width: W, isLossy: false });
    expect([...set.labels!]).toEqual([3, 1, 4, 1, 5, 9, 2]);
    await expectParts(set, [...rgb.data]);
  });

  test.each([[[N, H, W]], [[N, H, W, 1]]])("with gray images %o, without labels", async (shape) => {
    const set = await openImageSet(npz("gray.npz", { arr_0: gray.reshape(shape) }));
    expect(set.labels).toBeUndefined();
    await expectParts(set, tripled(gray.data));
  });

  test.each<[string, NDArray]>([
    ["bytes", new NDArray("uint8", [N], Uint8Array.of(3, 1, 4, 1, 5, 9, 2))],
    ["16 bits", new NDArray("int16", [N], Int16Array.of(3, 1, 4, 1, 5, 9, 2))],
    ["truth values", new NDArray("bool", [N], Uint8Array.of(1, 0, 1, 1, 0, 0, 1))],
  ])("with labels as %s", async (_what, array) => {
    const set = await openImageSet(npz("typed.npz", { arr_0: rgb, arr_1: array }));
    expect([...set.labels!]).toEqual(Array.from(array.data, Number));
  });

  /** A `.npy` of any type, by hand. */
  const typed = (descr: string, shape: string, data: Uint8Array) => {
    const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
    return Buffer.concat([
      Buffer.from(`\x93NUMPY\x01\x00${String.fromCharCode(header.length)}\0${header}`, "latin1"),
      data,
    ]);
  };
  const withLabels = (name: string, arr_1: Uint8Array) => {
    writeFileSync(at(name), zipSync({ "arr_0.npy": encodeNpy(rgb), "arr_1.npy": new Uint8Array(arr_1) }));
    return openImageSet(at(name));
  };
  const letters = (texts: readonly string[]) =>
    new Uint8Array(
      Uint32Array.from(texts.flatMap((text) => [...text.padEnd(3, "\0")].map((c) => c.charCodeAt(0)))).buffer,
    );

  test("with unsigned labels of 32 bits, numbers as text, and names, which are groups", async () => {
    const unsigned = new Uint8Array(Uint32Array.of(3, 1, 4, 1, 5, 9, 2).buffer);
    expect([...(await withLabels("u4.npz", typed("<u4", "(7,)", unsigned))).labels!]).toEqual([3, 1, 4, 1, 5, 9, 2]);
    const digits = letters(["3", "1", "4", "1", "5", "9", "12"]);
    expect([...(await withLabels("digits.npz", typed("<U3", "(7,)", digits))).labels!]).toEqual([3, 1, 4, 1, 5, 9, 12]);
    const names = await withLabels(
      "names.npz",
      typed("<U3", "(7,)", letters(["cat", "ant", "cat", "dog", "ant", "dog", "cat"])),
    );
    expect([names.labels, [...names.groups!]]).toEqual([undefined, [1, 0, 1, 2, 0, 2, 1]]);
    const tooLarge = new Uint8Array(Uint32Array.of(3, 1, 4, 1, 5, 9, 2 ** 31).buffer);
    await expect(withLabels("large.npz", typed("<u4", "(7,)", tooLarge))).rejects.toThrow("found 2147483648");
  });

  test("with an array beside the images that is not needed; objects are never unpickled", async () => {
    const object = typed("|O", "()", Uint8Array.of(0x80, 2, 0x4e, 0x2e));
    expect((await withLabels("object.npz", object)).labels).toBeUndefined();
    expect((await withLabels("few.npz", typed("<U3", "(2,)", letters(["a", "b"])))).labels).toBeUndefined();
    await expect(withLabels("objects.npz", typed("|O", "(7,)", Uint8Array.of(0x80, 2, 0x4e, 0x2e)))).rejects.toThrow(
      "expected 7 labels as arr_1, whole numbers [7], found that it has elements of type '|O' (Python objects, which are never read)",
    );
    writeFileSync(at("images.npz"), zipSync({ "arr_0.npy": new Uint8Array(object) }));
    await expect(openImageSet(at("images.npz"))).rejects.toThrow("expected images as arr_0, uint8 [N, H, W, 3]");
  });

  test("of which a byte changed is refused when all was read, stored or packed", async () => {
    const path = npz("changed.npz", { arr_0: rgb });
    const bytes = readFileSync(path);
    bytes[bytes.indexOf(Buffer.from(rgb.data.subarray(0, 40))) + 100]! ^= 1;
    writeFileSync(path, bytes);
    const set = await openImageSet(path);
    await set.read(0, 3);
    await expect(set.read(3, N - 3)).rejects.toThrow('zip entry "arr_0.npy": its checksum does not fit its content');
  });

  test("that is compressed, of any name", async () => {
    writeFileSync(at("packed"), zipSync({ "arr_0.npy": [encodeNpy(rgb), { level: 6 }] }));
    await expectParts(await openImageSet(at("packed")), [...rgb.data]);
  });

  test.each<[string, Record<string, NDArray>, string]>([
    ["floats", { arr_0: float32([0], [1, 1, 1, 1]) }, "found float32 [1, 1, 1, 1]; round them to bytes 0 … 255"],
    ["channels first", { arr_0: rgb.reshape([N, 3, H, W]) }, "found uint8 [7, 3, 5, 6]; transpose them"],
    ["no image", { arr_0: new NDArray("uint8", [0, 2, 2, 3], new Uint8Array()) }, "[0, 2, 2, 3]; it holds no images"],
    [
      "one image",
      { arr_0: new NDArray("uint8", [8, 8, 3], new Uint8Array(192)) },
      "[8, 8, 3]; it seems to be one image",
    ],
    ["one row of numbers", { arr_0: new NDArray("uint8", [9, 8], new Uint8Array(72)) }, "[9, 8]; save a set of images"],
    [
      "transparency",
      { arr_0: new NDArray("uint8", [2, 8, 8, 4], new Uint8Array(512)) },
      "leave out the fourth channel",
    ],
    ["five channels", { arr_0: new NDArray("uint8", [2, 8, 8, 5], new Uint8Array(640)) }, "save gray or RGB images"],
    ["statistics", { mu: float32([1]), sigma: float32([1]) }, "found mu, sigma; these are statistics"],
    ["other names", { images: rgb }, "found images; name the array arr_0"],
    [
      "too few labels",
      { arr_0: rgb, arr_1: int32([1, 2]) },
      "expected 7 labels as arr_1, whole numbers [7], found int32 [2]",
    ],
    ["float labels", { arr_0: rgb, arr_1: float32(new Float32Array(N)) }, "found float32 [7]"],
    [
      "negative labels",
      { arr_0: rgb, arr_1: int32([0, 0, 0, -1, 0, 0, 0]) },
      "labels of at least 0 as arr_1, found -1",
    ],
  ])("with %s is refused", async (name, arrays, message) => {
    const path = npz(`${name}.npz`, arrays);
    await expect(openImageSet(path)).rejects.toThrow(InputError);
    await expect(openImageSet(path)).rejects.toThrow(message);
    await expect(openImageSet(path)).rejects.toThrow(path);
  });

  test("that is cut off, and other files, are refused", async () => {
    const path = npz("cut.npz", { arr_0: rgb });
    truncateSync(path, 400);
    await expect(openImageSet(path)).rejects.toThrow(/cut\.npz: .*cut off/);
    writeFileSync(at("note.txt"), "P");
    await expect(openImageSet(at("note.txt"))).rejects.toThrow("note.txt: expected images: a .npz file with arr_0");
    await expect(openImageSet(at("nowhere"))).rejects.toThrow("no such file or folder");
  });
});

async function plantImage(name: string, format: "png" | "jpeg" | "webp", options: object = {}, side = [H, W]) {
  mkdirSync(join(at(name), ".."), { recursive: true });
  const raw = { width: side[1]!, height: side[0]!, channels: 3 as const };
  const bytes = pixels(side[0]! * side[1]! * 3).map((value, i) => (value + name.length * i) % 256);
  await sharp(bytes, { raw }).toFormat(format, options).toFile(at(name));
  return [...bytes];
}

describe("a folder of images", () => {
  test("in the order of names, without labels", async () => {
    const b = await plantImage("plain/b.png", "png");
    const a = await plantImage("plain/aaa.png", "png");
    const set = await openImageSet(at("plain"));
    expect(set).toMatchObject({ name: at("plain"), count: 2, height: H, width: W, isLossy: false });
    expect(set.labels).toBeUndefined();
    await expectParts(set, [...a, ...b]);
  });

  test("with class folders", async () => {
    const images: number[] = [];
    for (const name of ["cat/1.png", "cat/22.png", "dog/333.png"])
      images.push(...(await plantImage(`classes/${name}`, "png")));
    const set = await openImageSet(at("classes"));
    expect([...set.groups!]).toEqual([0, 0, 1]);
    expect(set.labels).toBeUndefined(); // nobody knows which number a model gives to a cat
    await expectParts(set, images);
    await plantImage("classes/stray.png", "png");
    await expect(openImageSet(at("classes"))).rejects.toThrow(/stray\.png; move them/);
  });

  test("with class folders that are called by their numbers", async () => {
    for (const name of ["0/a.png", "1/a.png", "1/b.png"]) await plantImage(`numbers/${name}`, "png");
    const set = await openImageSet(at("numbers"));
    expect([...set.labels!]).toEqual([0, 1, 1]);
    expect([set.groups, set.notes]).toEqual([undefined, undefined]);
  });

  test("with class folders of other numbers, which are numbered by name as everywhere, and it is said", async () => {
    for (const name of ["7/a.png", "7/b.png", "10/a.png", "003/a.png"]) await plantImage(`others/${name}`, "png");
    const set = await openImageSet(at("others"));
    expect([...set.labels!]).toEqual([0, 1, 2, 2]);
    expect(set.notes).toEqual([
      expect.stringMatching(/sorted order of their names.*: "003" is class 0, "10" is class 1, "7" is class 2;/),
    ]);
  });

  test("cropped to squares, whatever their sizes", async () => {
    await plantImage("crops/1.png", "png", {}, [9, 4]);
    await plantImage("crops/2.jpeg", "jpeg", {}, [5, 12]);
    await expect(openImageSet(at("crops")).then((set) => set.read(0, 2))).rejects.toThrow(
      "crop all images to one size",
    );
    const set = await openImageSet(at("crops"), 4);
    expect(set).toMatchObject({ count: 2, height: 4, width: 4 });
    const first = centerCrop(await decodeImage(readFileSync(at("crops/1.png"))), 4);
    const second = centerCrop(await decodeImage(readFileSync(at("crops/2.jpeg"))), 4);
    await expectParts(set, [...first.data, ...second.data]);
    expect(set.files).toBeUndefined(); // which would be the same for another crop
  });

  test("gives its files in the same order, which are what is known again", async () => {
    await plantImage("filed/1.png", "png");
    await plantImage("filed/2.png", "png");
    const set = await openImageSet(at("filed"));
    const files = ["1.png", "2.png"].map((name) => readFileSync(at("filed", name)));
    expect(Array.from(set.files!(0, 2), (file) => Buffer.compare(file, files.shift()!))).toEqual([0, 0]);
    expect(Array.from(set.files!(1, 1), (file) => file.length)).toEqual([readFileSync(at("filed/2.png")).length]);
    expect(() => [...set.files!(1, 2)]).toThrow(RangeError);
  });

  test.each([
    ["jpeg", {}, "JPEG", true],
    ["webp", { quality: 50 }, "webp", true],
    ["webp", { lossless: true }, "webp", false],
    ["jpeg", {}, "png", true], // whatever it is called
  ] as const)("knows that %s %o as .%s is lossy: %s", async (format, options, suffix, isLossy) => {
    const name = `lossy-${format}-${suffix}-${isLossy}`;
    await plantImage(`${name}/1.png`, "png");
    await plantImage(`${name}/2.${suffix}`, format, options);
    expect((await openImageSet(at(name))).isLossy).toBe(isLossy);
  });

  test("names the first image of another size, PNG at once and others when they are read", async () => {
    for (const [name, format] of [
      ["sizes-png", "png"],
      ["sizes-jpeg", "jpeg"],
    ] as const) {
      await plantImage(`${name}/1.${format}`, format);
      await plantImage(`${name}/2.${format}`, format, {}, [6, 6]);
    }
    const message = /2\.(png|jpeg): expected 5 × 6 pixels as 1\.(png|jpeg), found 6 × 6; crop all images to one size/;
    await expect(openImageSet(at("sizes-png"))).rejects.toThrow(message);
    const set = await openImageSet(at("sizes-jpeg"));
    await set.read(0, 1);
    await expect(set.read(0, 2)).rejects.toThrow(message);
  });

  test("names all files that are no images before anything is computed", async () => {
    for (const name of ["1.png", "2.png"]) await plantImage(`pointers/${name}`, "png");
    for (const name of ["3.png", "4.png"])
      writeFileSync(at(`pointers/${name}`), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
    writeFileSync(at("pointers/5.jpg"), "");
    await expect(openImageSet(at("pointers"))).rejects.toThrow(
      /: 3 of 5 images cannot be used; replace or remove them: 3\.png, 4\.png: expected an image, found a Git LFS pointer, .*"git lfs pull".*; 5\.jpg: expected an image, found an empty file$/,
    );
  });

  test("names a damaged file", async () => {
    await plantImage("damaged/1.png", "png");
    await plantImage("damaged/2.png", "png", {}, [H, W]);
    truncateSync(at("damaged/2.png"), 60);
    const set = await openImageSet(at("damaged"));
    await expect(set.read(0, 2)).rejects.toThrow(/damaged\/2\.png: damaged PNG image/);
    await plantImage("damaged/3.png", "png");
    truncateSync(at("damaged/3.png"), 60);
    const both = await openImageSet(at("damaged"));
    await expect(both.read(0, 2)).rejects.toThrow(/: 2 of 3 images cannot be used; .*2\.png, 3\.png: damaged PNG/);
    mkdirSync(at("empty"));
    await expect(openImageSet(at("empty"))).rejects.toThrow("has no images");
  });
});

describe("a folder of generate", () => {
  const model = tinyModel(1);
  beforeAll(async () => {
    await generateSet({
      ...{
        engine: cpuEngine({ threads: 1 }),
        model,
        weights: awakeWeights(weightSpecs(model)),
        seed: 1,
        steps: "ddim2",
      },
      ...{ out: at("set"), count: 10, shardSize: 4, labels: { mode: "balanced", classes: [2, 0] }, metadata: {} },
      ...{ threads: 1, versions: {} },
    });
  });

  test("is its shards, labels and description; its .npz file holds the same", async () => {
    const set = await openImageSet(at("set"));
    expect(set).toMatchObject({ count: 10, height: 8, width: 8, isLossy: false });
    expect([...set.labels!]).toEqual([2, 0, 2, 0, 2, 0, 2, 0, 2, 0]);
    expect(set.origin).toMatchObject({ seed: 1, sampling: { steps: "ddim2" } });
    const whole = await openImageSet(at("set/samples.npz"));
    expect([...whole.labels!]).toEqual([...set.labels!]);
    await expectParts(set, await values(whole));
  });

  test("that is not complete is refused, and so are shards of other images", async () => {
    const path = at("set/shards/00001.npz");
    renameSync(path, `${path}.away`);
    await expect(openImageSet(at("set"))).rejects.toThrow(/expected 10 images, .*00001\.npz is missing\); repeat/);
    writeFileSync(path, readFileSync(at("set/shards/00002.npz")));
    await expect(openImageSet(at("set"))).rejects.toThrow("00001.npz: damaged: its SHA-256 is not the one");
    rmSync(at("set/checksums.jsonl"));
    await expect(openImageSet(at("set"))).rejects.toThrow("expected 4 images of 8 × 8, found 2 of 8 × 8");
    renameSync(`${path}.away`, path);
    writeFileSync(at("set/generate.json"), "{}");
    await expect(openImageSet(at("set"))).rejects.toThrow("expected the description of generated images");
  });
});

describe("a folder of sample", () => {
  const write = (name: string, images: NDArray) => {
    mkdirSync(at(name), { recursive: true });
    const tensors = new Map<string, NDArray>([
      ["images", images],
      ["labels", int32([4, 5])],
    ]);
    writeFileSync(at(name, "samples.safetensors"), Buffer.concat([...encodeSafetensors(tensors)]));
    return at(name);
  };
  const images = float32([-1, -0.5, 0, 0.25, 0.5, 1, 2, -3], [2, 1, 2, 2]);

  test("is rounded as its picture, with labels and settings", async () => {
    const path = write("sampled", images);
    writeFileSync(join(path, "samples.json"), '{"settings":{"seed":3}}');
    const set = await openImageSet(path);
    expect(set).toMatchObject({ count: 2, height: 2, width: 2, origin: { settings: { seed: 3 } } });
    expect([...set.labels!]).toEqual([4, 5]);
    await expectParts(set, [...imageBytes(images).data]);
    expect(await values(await openImageSet(join(path, "samples.safetensors")))).toEqual(await values(set));
  });

  test("of latents, or with values that are no numbers, is refused", async () => {
    const latents = write("latents", float32(new Float32Array(8), [2, 4, 1, 1]));
    await expect(openImageSet(latents)).rejects.toThrow("found float32 [2, 4, 1, 1]; latents become images by");
    const broken = await openImageSet(write("nan", float32([0, 0, 0, 0, 0, Number.NaN, 0, 0], [2, 1, 2, 2])));
    await broken.read(0, 1);
    await expect(broken.read(0, 2)).rejects.toThrow("image 1 has the value NaN, expected finite numbers");
  });
});

describe("the packaged digits", () => {
  test.each(["train", "heldOut"] as const)("%s", async (split) => {
    const { images, labels: classes } = loadDigits()[split];
    const set = digitImages(split);
    expect(set).toMatchObject({ count: images.shape[0], height: 28, width: 28, isLossy: false });
    expect([...set.labels!]).toEqual([...classes.data]);
    expect(await values(set, 3, 2)).toEqual(tripled(images.rows(3, 5).data));
  });
});
