import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "fast-png";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { float32, type NDArray } from "../../src/array/ndarray.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import { autoencoderSpecs } from "../../src/models/autoencoder/autoencoder.ts";
import { diffusersAutoencoderConfig } from "../../src/models/autoencoder/config.ts";
import { sampleImages } from "../../src/sampling/sample-images.ts";
import { writeAtomically } from "../../src/storage/atomic-write.ts";
import { amplificationFor, comparisonPng, falseColors } from "../../src/tasks/compare.ts";
import { loadModel } from "../../src/weights/model-file.ts";
import { formulaWeight, settings } from "../golden/autoencoder-fixture.ts";
import { plantModel, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-compare-"));
afterAll(() => rmSync(folder, { recursive: true }));

const at = (name: string) => join(folder, name);
const [deep, shallow, latents, picture] = ["deep", "shallow", "latents", "pair.png"].map((name) =>
  at(name.includes(".") ? name : `${name}.safetensors`),
) as [string, string, string, string];

const config = diffusersAutoencoderConfig(settings.configs.small);

beforeAll(async () => {
  await plantModel(deep);
  await plantModel(shallow, { ...tinyConfig, depth: 2 }, { weights: "raw" });
  await plantModel(latents, { ...tinyConfig, inputSize: 4, patchSize: 2, inChannels: config.latentChannels });
  await plantModel(at("other.safetensors"), { ...tinyConfig, numClasses: 7 });
  await plantModel(at("sit.safetensors"), { family: "sit", ...tinyConfig }, { process: { kind: "flow" } as never });
});

const comparing = (a: string, b: string, ...more: string[]) =>
  run(["compare", a, b, "--out", picture, "--threads", "1", "--steps", "ddim2", ...more]);

describe("tinyfusion compare", () => {
  test("shows both models' images of the same noise, their differences and times", async () => {
    const { code, stdout } = await comparing(deep, shallow, "--count", "10", "--classes", "3,5");
    const lines = stdout.trimEnd().split("\n");
    expect(code).toBe(0);
    expect(lines[0]).toMatch(/^A {2}\S+deep\.safetensors {5}4 blocks {2}averaged \(EMA\) {2}\S+ s an image$/);
    expect(lines[1]).toMatch(/^B {2}\S+shallow\.safetensors {2}2 blocks {2}raw {13}\S+ s an image$/);
    expect(lines[2]).toMatch(/^time of A ÷ time of B: \d+\.\d\d \(median of 4 rounds in turn\)$/);
    expect(lines[4]).toMatch(/^image {2}class {2}RMS of B − A {2}largest$/);
    expect(lines[6]).toMatch(/^ {4}1 {6}5 +0\.\d+ +\d\.\d+$/);
    expect(lines.at(-1)).toMatch(/pair\.png: in each band A, B, and \(B − A\) × \d+ around gray; images$/);
    const { width, height } = decode(readFileSync(picture));
    // 84 pixels of an image shown 3 times as large and 2 of white: 8 in a row, two bands of three rows
    expect([width, height]).toEqual([8 * 86 - 2, 6 * 86 - 2]);
  });

  test("as JSON: the numbers are those of images drawn by themselves", async () => {
    const { code, stdout } = await comparing(deep, shallow, "--count", "3", "--seed", "4", "--json", "--cfg", "1.5");
    expect(code).toBe(0);
    const facts = JSON.parse(stdout);
    const engine = cpuEngine({ threads: 1 });
    const draw = async (path: string) => {
      const { model, tensors: weights, process } = await loadModel(path);
      const request = { engine, model, weights, process, labels: Int32Array.of(0, 1, 2), seed: 4, steps: "ddim2" };
      return (await sampleImages({ ...request, cfgScale: 1.5 })).images;
    };
    const [a, b] = [await draw(deep), await draw(shallow)];
    for (const [n, { image, label, rms, largest }] of facts.images.entries()) {
      const differences = Array.from(b.rows(n, n + 1).data, (value, i) => value - a.rows(n, n + 1).data[i]!);
      expect([image, label]).toEqual([n, n]);
      expect(largest).toBe(Math.max(...differences.map(Math.abs)));
      expect(rms).toBeCloseTo(Math.sqrt(differences.reduce((sum, d) => sum + d * d, 0) / 784), 10);
    }
    expect(facts).toMatchObject({ picture, shown: "images", settings: { seed: 4, cfgScale: 1.5, steps: "ddim2" } });
    expect(facts.models.map(({ path, blocks, weights }: Record<string, unknown>) => [path, blocks, weights])).toEqual([
      [deep, "4", "ema"],
      [shallow, "2", "raw"],
    ]);
    for (const { secondsPerImage } of facts.models) expect(secondsPerImage).toBeGreaterThan(0);
    expect(facts.ratio).toBeGreaterThan(0);
  });

  test("a model does not differ from itself, nor from a file of the same weights", async () => {
    for (const other of [deep, await plantModel(at("copy.safetensors"))]) {
      const { images, rms, amplification } = JSON.parse(
        (await comparing(deep, other, "--json", "--count", "2")).stdout,
      );
      expect([images.length, rms, amplification]).toEqual([2, 0, 1]);
    }
  });

  test("latents are false colors without an autoencoder and images with one", async () => {
    const vae = at("vae");
    await writeAtomically(
      join(vae, "config.json"),
      JSON.stringify({ _class_name: "AutoencoderKL", ...settings.configs.small }),
    );
    const weights = new Map(
      autoencoderSpecs(config).map(({ name, shape }) => [name, formulaWeight(name, shape)] as const),
    );
    await writeAtomically(
      join(vae, "diffusion_pytorch_model.safetensors"),
      encodeSafetensors(weights as Map<string, NDArray>),
    );
    const stride = 2 ** (config.blockOutChannels.length - 1);
    for (const [more, side, text] of [
      [[], 4, "false colors of latents, the first three of"],
      [["--vae", vae], 4 * stride, "around gray; images"],
    ] as const) {
      const { code, stdout } = await comparing(latents, latents, "--count", "2", ...more);
      expect([code, stdout.includes(text)]).toEqual([0, true]);
      const shown = side * Math.floor(96 / side);
      expect(decode(readFileSync(picture)).width).toBe(2 * (shown + 2) - 2);
    }
  });

  test("--class is one class for all, and what else the autoencoder's file holds is told", async () => {
    const vae = at("vae-with-loss");
    const described = { _class_name: "AutoencoderKL", ...settings.configs.small };
    await writeAtomically(join(vae, "config.json"), JSON.stringify(described));
    const weights = new Map<string, NDArray>([["loss.logvar", float32([0])]]);
    for (const { name, shape } of autoencoderSpecs(config)) weights.set(name, formulaWeight(name, shape));
    await writeAtomically(join(vae, "model.safetensors"), encodeSafetensors(weights));
    const more = ["--count", "2", "--class", "7", "--vae", vae, "--json"];
    const { code, stdout, stderr } = await comparing(latents, latents, ...more);
    expect([code, stderr]).toEqual([0, expect.stringContaining("which is left out: loss (1)")]);
    expect(JSON.parse(stdout).images.map(({ label }: { label: number }) => label)).toEqual([7, 7]);
  });

  test.each([
    [
      "other.safetensors",
      /found 1 × 28 × 28, 10 classes, process gaussian in \S+deep\.safetensors and .* 7 classes, .* in \S+other\.safetensors/,
    ],
    ["latents.safetensors", /found 1 × 28 × 28, .* in \S+ and \d × 4 × 4, .* in \S+latents/],
    ["sit.safetensors", /process gaussian in \S+ and .* process flow in \S+sit\.safetensors; choose others/],
    ["nowhere.safetensors", /no such file/],
  ])("refuses %s in one sentence and writes nothing", async (name, message) => {
    rmSync(picture, { force: true });
    const { code, stderr } = await comparing(deep, at(name));
    expect(stderr).toMatch(message);
    expect([code, existsSync(picture), stderr.trimEnd().split("\n").length]).toEqual([1, false, 1]);
  });

  test.each([
    [["--classes", "10"], 1, /--classes: unknown label "10"; the model knows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n$/],
    [["--out", "pair.jpg"], 2, /--out expects a \.png file, got pair\.jpg/],
    [["--count", "0"], 2, /--count expects at least 1/],
    [["--vae", "nowhere"], 1, /nowhere: no such file/],
  ] as const)("refuses %o", async (more, code, message) => {
    const ran = await comparing(deep, shallow, ...more);
    expect([ran.code, ran.stderr]).toEqual([code, expect.stringMatching(message)]);
  });

  test("writes nothing when it is stopped", async () => {
    rmSync(picture, { force: true });
    const ran = await run(["compare", deep, shallow, "--out", picture], AbortSignal.abort());
    expect([ran.code, ran.stderr, existsSync(picture)]).toEqual([130, "stopped; nothing was written\n", false]);
  });
});

describe("the picture", () => {
  const image = (...values: number[]) => float32(values, [1, 1, 2, 2]);

  test("is A, B, and the amplified difference around gray, one below the other", () => {
    const { data, width, height } = decode(comparisonPng([image(-1, 0, 0, 1), image(-1, 0.25, -0.25, 1)], 2));
    const pixel = (row: number, y: number, x: number) => data[(row * 98 + y * 48) * width + x * 48];
    expect([width, height]).toEqual([96, 3 * 98 - 2]);
    const corners = (row: number) => [pixel(row, 0, 0), pixel(row, 0, 1), pixel(row, 1, 0), pixel(row, 1, 1)];
    expect([corners(0), corners(1), corners(2)]).toEqual([
      [0, 128, 128, 255],
      [0, 159, 96, 255],
      [128, 191, 64, 128],
    ]);
  });

  test.each([
    [0, 1],
    [3, 1],
    [0.3, 2],
    [0.25, 4],
    [1e-6, 1024],
  ])("shows a difference of %d times %d", (difference, expected) => {
    expect(amplificationFor([image(0, 0, 0, 0), image(0, 0, 0, difference)])).toBe(expected);
  });

  test("false colors are the first three channels by one scale; missing ones are gray", () => {
    const four = float32([3, 0, 4, 12], [1, 4, 1, 1]); // root of the mean square: 6.5
    const [shown] = falseColors([four, four]);
    expect([...shown.data].map((value) => value * 19.5)).toEqual([3, 0, 4].map((value) => expect.closeTo(value, 5)));
    const two = float32([1, 1], [1, 2, 1, 1]);
    expect([...falseColors([two, two])[0].data]).toEqual([1 / 3, 1 / 3, 0].map((value) => expect.closeTo(value, 5)));
  });
});
