import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CommandContext } from "../../src/cli/command.ts";
import { type EncodeOptions, encode, runEncode } from "../../src/cli/encode.ts";
import { openLatents } from "../../src/data/latents/open-latents.ts";
import { resolveValues } from "../../src/tasks/settings.ts";
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

interface Said {
  readonly code: number;
  readonly out: string[];
  readonly notes: string[];
  readonly progress: Progress[];
}

/** The command with an encoder that averages cells; `stopAfter` batches it is interrupted. */
async function encoded(flags: Partial<Record<keyof EncodeOptions, unknown>> = {}, stopAfter?: number): Promise<Said> {
  const [out, notes, progress]: [string[], string[], Progress[]] = [[], [], []];
  const stop = new AbortController();
  const context: CommandContext = {
    signal: stop.signal,
    given: new Set(),
    typed: { values: {}, positional: [] },
    print: (line) => out.push(line),
    note: (line) => notes.push(line),
    progress: (line) => progress.push(line),
  };
  let batches = 0;
  const encoder = cellEncoder();
  const counting = cellEncoder({
    encode: (images) => {
      if (++batches === stopAfter) stop.abort();
      return encoder.encode(images);
    },
  });
  const paths = { images: join(folder, "images"), vae: "vae.safetensors", out: join(folder, "latents") };
  const values = resolveValues(encode.options, { ...paths, size: 16, batch: 2, ...flags }) as EncodeOptions;
  return { code: await runEncode(values, context, async () => counting), out, notes, progress };
}

describe("encode", () => {
  test("writes latents that can be opened, and says what it did", async () => {
    const { code, out, notes, progress } = await encoded({ flip: true });
    expect(code).toBe(0);
    expect(out).toEqual([
      join(folder, "latents", "index.json"),
      expect.stringMatching(/^4 images of 2 classes in 1 shards, [\d.]+ kB$/),
      "1 images could not be read and were skipped; index.json lists them",
    ]);
    expect(notes).toEqual([
      "classes: 0 ant, 1 bee",
      expect.stringMatching(/^skipped bee\/2\.png: expected a JPEG, PNG/),
    ]);
    expect(progress.at(-1)).toMatchObject({ step: 5, steps: 5, images: 5, secondsLeft: 0 });
    const { size, index, release } = await openLatents(join(folder, "latents"));
    expect(size).toBe(4);
    expect(index.versions).toHaveProperty("tinyfusion");
    await release();
  });

  test("stopped, says how to go on and ends with 130; the same command completes it", async () => {
    const stopped = await encoded({}, 1);
    expect(stopped.code).toBe(130);
    expect(stopped.out).toEqual(["stopped at image 2 of 5; the same command goes on"]);
    const resumed = await encoded();
    expect(resumed.code).toBe(0);
    expect(JSON.parse(readFileSync(join(folder, "latents", "index.json"), "utf8")).count).toBe(4);
  });

  test("--dry-run prints the plan and writes nothing", async () => {
    const before = contents(folder);
    const { code, out } = await encoded({ dryRun: true, out: undefined, flip: true, shardSize: 2, dtype: "float16" });
    expect(code).toBe(0);
    expect(out).toEqual([
      "images   5 of 2 classes (labels from class folders)",
      "crop     16 × 16, as it is and mirrored",
      "latents  4 × 4 × 4, mean and standard deviation in float16",
      "shards   3 of up to 2 images, 2.56 kB in all",
    ]);
    expect(contents(folder)).toEqual(before);
  });

  test("a folder without classes is one class, and that is said", async () => {
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
