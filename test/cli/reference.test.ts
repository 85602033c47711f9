/** `tinyfusion reference`: statistics of images from a folder or a `.npz`, whole or not at all. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { float32, NDArray } from "../../src/array/ndarray.ts";
import { centerCrop } from "../../src/data/images/prepare-images.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { digitNetworkName } from "../../src/evaluation/features/digit-network.ts";
import { gaussianStats } from "../../src/evaluation/metrics/gaussian-stats.ts";
import { withMetricKernels } from "../../src/evaluation/metrics/kernels.ts";
import type { Reference } from "../../src/evaluation/reference/reference.ts";
import { readReferenceFile } from "../../src/evaluation/reference/reference-file.ts";
import { encodePng } from "../../src/formats/image-bytes.ts";
import { noisePicture } from "../data/images/plant-images.ts";
import { digits, plantNpz, plantPngs } from "./digit-pictures.ts";
import { run } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-reference-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...names: string[]) => join(folder, ...names);

const COUNT = 45;
const making = (images: string, out: string, ...more: string[]) =>
  run(["reference", images, "--out", at(out), "--threads", "1", ...more]);

function plantPng(path: string, picture: NDArray<"uint8">): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, encodePng(picture));
}

function greyPicture(number: number, width: number, height: number): NDArray<"uint8"> {
  const picture = noisePicture(number, width, height);
  picture.data.forEach((_, i) => {
    picture.data[i] = picture.data[i - (i % 3)]!;
  });
  return picture;
}

let images: NDArray<"uint8">;
let made: Reference;

beforeAll(async () => {
  images = await digits(0, COUNT);
  plantPngs(at("pngs"), images);
  const { code, stdout, stderr } = await making(at("pngs"), "pngs.npz");
  expect(code, stderr).toBe(0);
  expect(stdout).toBe(`${at("pngs.npz")}\n${COUNT} images of 28 × 28, digits (weights 682be345edb5…)\n`);
  made = await readReferenceFile(at("pngs.npz"));
}, 30_000);

const gaussian = (d: number) => {
  const identity = new Float64Array(d * d);
  for (let i = 0; i < d; i++) identity[i * (d + 1)] = 1;
  return {
    mu: new NDArray("float64", [d], new Float64Array(d)),
    sigma: new NDArray("float64", [d, d], identity),
  };
};

describe("a reference", () => {
  test("of a folder holds statistics of all its images, features and pictures, and says what it is of", async () => {
    expect(made).toMatchObject({ name: at("pngs.npz"), count: COUNT, size: [28, 28], isLossy: false });
    expect(made.network?.name).toBe(digitNetworkName);
    const { mean, covariance } = await withMetricKernels(cpuEngine({ threads: 1 }), (kernels) =>
      gaussianStats(kernels, made.features!),
    );
    expect([...made.pooled.mean]).toEqual([...mean]);
    expect([...made.pooled.covariance]).toEqual([...covariance]);
    expect(Buffer.compare(made.pictures!.data, images.data)).toBe(0);
    expect(existsSync(at("pngs.npz.features"))).toBe(false);
  });

  test("of images of any size is of squares cut from them, as training cuts them, and evaluate does so too", async () => {
    const sides: readonly (readonly [number, number])[] = [
      [31, 40],
      [28, 28],
      [60, 33],
    ];
    const pictures = Array.from({ length: 24 }, (_, i) => {
      const [width, height] = sides[i % 3]!;
      return greyPicture(i, width, height);
    });
    for (const [i, picture] of pictures.entries())
      plantPng(at(`mixed/${i % 2}/${String(i).padStart(2, "0")}.png`), picture);
    const refused = await making(at("mixed"), "mixed.npz");
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("(--size does so)") });
    const ok = await making(at("mixed"), "mixed.npz", "--size", "28");
    expect(ok.code, ok.stderr).toBe(0);
    const { size, count, pictures: kept } = await readReferenceFile(at("mixed.npz"));
    expect({ size, count }).toEqual({ size: [28, 28], count: 24 });
    const order = [...pictures.filter((_, i) => i % 2 === 0), ...pictures.filter((_, i) => i % 2 === 1)];
    const crops = order.map((picture) => [...centerCrop(picture, 28).data]);
    expect([...kept!.data]).toEqual(crops.flat());
    const judge = [
      "evaluate",
      at("mixed"),
      "--reference",
      at("mixed"),
      "--quick",
      "--json",
      "--out",
      at("mixed-scores"),
    ];
    const judged = await run([...judge, "--size", "28", "--threads", "1"]);
    expect(judged.code, judged.stderr).toBe(0);
    const { samples, scores } = JSON.parse(judged.stdout);
    expect(samples.size).toEqual([28, 28]);
    expect(scores[0].value).toBeCloseTo(0, 3); // of images to themselves
    for (const argv of [
      [...judge.slice(0, 1), at("mixed.npz"), ...judge.slice(4), "--size", "28"],
      ["reference", at("pngs.npz"), "--size", "28", "--out", at("x.npz")],
    ]) {
      expect(await run(argv)).toMatchObject({
        code: 2,
        stderr: expect.stringContaining("--size crops folders of image files"),
      });
    }
  }, 60_000);

  test("of arr_0 in a .npz is that of the same images in a folder", async () => {
    plantNpz(at("images.npz"), { arr_0: images });
    expect((await making(at("images.npz"), "from-npz.npz")).code).toBe(0);
    const { name: _, ...found } = await readReferenceFile(at("from-npz.npz"));
    const { name: __, ...expected } = made;
    expect(found).toEqual(expected);
  });

  test("of statistics with images keeps the statistics, and says whose they are taken for", async () => {
    plantNpz(at("both.npz"), { arr_0: images, ...gaussian(64) });
    const { code, stderr } = await making(at("both.npz"), "completed.npz", "--keep", "30");
    expect([code, stderr]).toEqual([0, expect.stringContaining("statistics are the file's own")]);
    const found = await readReferenceFile(at("completed.npz"));
    expect([...found.pooled.mean]).toEqual(Array(64).fill(0));
    expect(found).toMatchObject({ isNetworkAssumed: true, size: [28, 28] });
    expect(found.count).toBeUndefined();
    expect(found.features!.shape).toEqual([30, 64]);
    const rows = Array.from({ length: COUNT }, (_, i) => String(made.features!.rows(i, i + 1).data));
    const places = Array.from({ length: 30 }, (_, i) => rows.indexOf(String(found.features!.rows(i, i + 1).data)));
    expect(places).toEqual([...new Set(places)].sort((a, b) => a - b)); // ascending, each once
    expect(places[0]).toBeGreaterThanOrEqual(0);
    for (const [i, place] of places.entries())
      expect(String(found.pictures!.rows(i, i + 1).data)).toBe(String(images.rows(place, place + 1).data));
  });

  test("goes on from stored features, and leaves alone a folder that was named", async () => {
    const stored = ["--stored", at("stored")];
    expect((await making(at("pngs"), "first.npz", ...stored)).code).toBe(0);
    const [piece] = readdirSync(at("stored"), { recursive: true, encoding: "utf8" }).filter((n) => n.endsWith(".npz"));
    expect(piece).toBeDefined();
    expect((await making(at("pngs"), "second.npz", ...stored)).code).toBe(0);
    expect(Buffer.compare(readFileSync(at("first.npz")), readFileSync(at("second.npz")))).toBe(0);
    expect(Buffer.compare(readFileSync(at("first.npz")), readFileSync(at("pngs.npz")))).toBe(0);
  });

  test("stopped, leaves no file, says how it goes on", async () => {
    const argv = ["reference", at("pngs"), "--out", at("stopped.npz"), "--threads", "1"];
    const { code, stderr } = await run(argv, AbortSignal.abort());
    expect([code, stderr]).toEqual([130, "stopped; finished features stay, the same command resumes\n"]);
    expect(existsSync(at("stopped.npz"))).toBe(false);
  });
});

describe("refused in one sentence, with nothing written:", () => {
  const plant: Record<string, () => string | Promise<string>> = {
    "statistics alone": () => plantNpz(at("statistics.npz"), gaussian(64)),
    "a damaged .npz": () => {
      const path = plantNpz(at("damaged.npz"), { arr_0: images });
      writeFileSync(path, readFileSync(path).subarray(0, 3000));
      return path;
    },
    "an empty folder": () => {
      mkdirSync(at("empty"));
      return at("empty");
    },
    "images of two sizes": () => {
      plantPngs(at("two"), images.rows(0, 3));
      plantPngs(at("two", "more"), new NDArray("uint8", [1, 5, 6, 3], new Uint8Array(90)));
      writeFileSync(at("two", "zz.png"), readFileSync(at("two", "more", "000.png")));
      rmSync(at("two", "more"), { recursive: true });
      return at("two");
    },
    "one image": async () => plantPngs(at("one"), await digits(0, 1)),
    "numbers that are no bytes": () =>
      plantNpz(at("floats.npz"), { arr_0: float32(new Float32Array(48), [1, 4, 4, 3]) }),
    "large images without Inception": () =>
      plantNpz(at("large.npz"), { arr_0: new NDArray("uint8", [2, 32, 32, 3], new Uint8Array(6144)) }),
    "no such path": () => at("nowhere"),
  };
  test.each([
    ["statistics alone", /statistics\.npz: expected images as arr_0, .* these are statistics, from which no images/],
    ["a damaged .npz", /damaged\.npz: expected the directory of a zip file/],
    ["an empty folder", /empty has no images/],
    ["images of two sizes", /zz\.png: expected 28 × 28 pixels as 000\.png, found 5 × 6; crop all images/],
    ["one image", /one: expected at least 2 images for a reference, found 1; take more of them/],
    ["numbers that are no bytes", /uint8 .* found float32 \[1, 4, 4, 3\]; round them to bytes/],
    ["large images without Inception", /images of 32 × 32 need the weights of Inception-v3, .* --inception-weights/],
    ["no such path", /nowhere.* no such file or folder/],
  ])("%s", async (what, message) => {
    const path = await plant[what]!();
    const { code, stdout, stderr } = await making(path, "refused.npz");
    expect(stderr).toMatch(message);
    expect([
      code,
      stdout,
      stderr
        .trimEnd()
        .split("\n")
        .filter((line) => line.startsWith("tinyfusion: ")).length,
    ]).toEqual([...[1, "", 1]]);
    expect(existsSync(at("refused.npz"))).toBe(false);
  });

  test.each([
    [["--out", "reference.json"], 2, /--out expects a \.npz file, got reference\.json/],
    [[], 2, /--out is required/],
    [["--out", at("folder.npz")], 1, /cannot write \S+folder\.npz: expected a file or a new name, found a folder/],
    [["--out", at("pngs", "000.png", "r.npz")], 1, /000\.png/],
    [["--out", at("r.npz"), "--features", "inception"], 1, /need the weights of Inception-v3/],
    [["--out", at("r.npz"), "--inception-weights", at("none.pth")], 1, /none\.pth: no such file or folder/],
    [["--out", at("r.npz"), "--keep", "1"], 2, /--keep expects at least 2, got 1/],
  ])("%o", async (more, expected, message) => {
    mkdirSync(at("folder.npz"), { recursive: true });
    const { code, stderr } = await run(["reference", at("pngs"), "--threads", "1", ...more]);
    expect(stderr).toMatch(message);
    expect(code).toBe(expected);
    expect(existsSync(at("r.npz"))).toBe(false);
  });
});
