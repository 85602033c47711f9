import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openLatents } from "../../src/data/latents/open-latents.ts";
import { encode, planEncode } from "../../src/tasks/encode.ts";
import type { Progress } from "../../src/training/loop.ts";
import { plantImages } from "../data/images/plant-images.ts";
import { cellEncoder } from "../data/latents/cell-encoder.ts";
import { contents, run } from "./program-run.ts";
import { plantVae } from "./tiny-vae.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tinyfusion-cli-encode-"));
  plantImages(join(folder, "images"), ["ant/0.png", "ant/1.png", ["bee/2.png", "no image"], "bee/3.png", "bee/4.png"]);
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The task with an encoder that averages cells; it is stopped after `stopAfter` batches. */
async function encoded(more: Parameters<typeof encode>[0] = {}, stopAfter?: number) {
  const [notes, progress]: [string[], Progress[]] = [[], []];
  const stop = new AbortController();
  let batches = 0;
  const encoder = cellEncoder();
  const result = await encode({
    ...settings(more),
    encoder: cellEncoder({
      encode: (images) => {
        if (++batches === stopAfter) stop.abort();
        return encoder.encode(images);
      },
    }),
    signal: stop.signal,
    onNote: (line) => notes.push(line),
    onProgress: (line) => progress.push(line),
  });
  return { ...result, notes, progress };
}

const settings = (more: Parameters<typeof encode>[0]) => ({
  images: join(folder, "images"),
  vae: "vae.safetensors",
  out: join(folder, "latents"),
  size: 16,
  batch: 2,
  ...more,
});

describe("encode", () => {
  test("writes latents that can be opened, and notes what it skipped", async () => {
    const { finished, index, notes, progress } = await encoded({ flip: true });
    expect(finished).toBe(true);
    expect(index).toMatchObject({ count: 4, numClasses: 2 });
    expect([index!.shards.length, index!.skipped.length]).toEqual([1, 1]);
    expect(notes).toEqual([
      "classes: 0 ant, 1 bee",
      expect.stringMatching(/^skipped bee\/2\.png: expected a JPEG, PNG/),
    ]);
    expect(progress.at(-1)).toMatchObject({ step: 5, steps: 5, images: 5, secondsLeft: 0 });
    const set = await openLatents(join(folder, "latents"));
    expect(set.size).toBe(4);
    expect(set.index.versions).toHaveProperty("tinyfusion");
    await set.release();
  });

  test("stopped, returns what is done; the same settings complete it", async () => {
    expect(await encoded({}, 1)).toMatchObject({ finished: false, done: 2, of: 5 });
    expect(await encoded()).toMatchObject({ finished: true });
    expect(JSON.parse(readFileSync(join(folder, "latents", "index.json"), "utf8")).count).toBe(4);
  });

  test("its plan writes nothing", async () => {
    const before = contents(folder);
    const { out: _, ...others } = settings({ flip: true, shardSize: 2, dtype: "float16" });
    expect(await planEncode({ ...others, encoder: cellEncoder() })).toMatchObject({
      images: 5,
      numClasses: 2,
      labelsFrom: "class folders",
      size: 16,
      flip: true,
      dtype: "float16",
      shape: [4, 4, 4],
      shards: 3,
      imagesPerShard: 2,
      bytes: 2560,
    });
    expect(contents(folder)).toEqual(before);
  });

  test("a folder without classes is one class, and that is noted", async () => {
    const { notes } = await encoded({ images: join(folder, "images", "ant") });
    expect(notes).toEqual([expect.stringContaining("has no class folders: all 2 images are class 0")]);
  });
});

describe("the command line", () => {
  const images = () => join(folder, "images");

  test.each([
    ["--images", () => ["--vae", "v", "--out", "o"], "--images is required"],
    ["--vae", () => ["--images", images(), "--out", "o"], "--vae is required"],
    ["--out", () => ["--images", images(), "--vae", "v"], "--out is required"],
    ["a size", () => ["--images", images(), "--vae", "v", "--out", "o", "--size", "0"], "--size expects at least 1"],
  ])("without %s ends with 2", async (_name, argv, message) => {
    const { code, stderr } = await run(["encode", ...argv()]);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });

  test.each([
    ["images", () => ["--images", join(folder, "none"), "--vae", "v"], /cannot list .*none: no such file or folder/],
    [
      "an autoencoder",
      () => ["--images", images(), "--vae", join(folder, "v.safetensors")],
      /cannot open .*v\.safetensors: no such file/,
    ],
    [
      "an autoencoder of colours",
      () => ["--images", images(), "--vae", plantVae(join(folder, "grey"))],
      /--vae .*grey: expected an autoencoder of images with 3 channels, as encode makes all of them, found 1; give another/,
    ],
    [
      "labels",
      () => ["--images", images(), "--vae", "v", "--labels", join(folder, "l.csv")],
      /cannot read .*l\.csv: no such file/,
    ],
    [
      "a place of its own",
      () => ["--images", images(), "--vae", "v", "--out", join(images(), "latents")],
      /--out: .*latents is inside the folder of images, .*images, where it would count as a class/,
    ],
    [
      "enough classes",
      () => ["--images", images(), "--vae", "v", "--num-classes", "1"],
      /label 1 is outside the classes 0 to 0/,
    ],
  ])("without %s ends with 1 and one sentence, and nothing is written", async (_name, argv, message) => {
    const { code, stderr } = await run(["encode", "--out", join(folder, "latents"), ...argv()]);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(code).toBe(1);
    expect(contents(folder)).not.toContain("latents");
  });

  test("is in the list of commands", async () => {
    const { code, stdout } = await run(["encode", "--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain("--vae");
  });
});
