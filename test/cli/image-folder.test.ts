import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { encodePng } from "../../src/formats/image-bytes.ts";
import { openModel } from "../../src/weights/model-file.ts";
import { noisePicture, plantImages } from "../data/images/plant-images.ts";
import { contents, plantModel, readJsonFile, run, tinyConfig } from "./program-run.ts";

let root = "";
let folder = "";
let count = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "tinyfusion-image-folder-"));
});
beforeEach(() => {
  folder = join(root, String(count++));
  mkdirSync(folder);
});
afterAll(() => rmSync(root, { recursive: true }));

const at = (...names: string[]) => join(folder, ...names);
const brief = ["--steps", "2", "--batch-size", "2", "--threads", "1"];
const pixelConfig = { ...tinyConfig, inputSize: 8, patchSize: 4, inChannels: 3, numClasses: 3 };
const classFolders = ["circle/1.png", "circle/2.png", "cross/1.png", "star/1.png"];
const weightsOf = (name: string) => at(`runs/${name}/checkpoints/step-00000002/ema.safetensors`);

test("train makes a model for a folder of images, which knows its classes, and samples of it have its colours", async () => {
  plantImages(at("images"), classFolders);
  const argv = ["train", "--data", at("images"), "--size", "16", "--out", at("runs/a"), ...brief];
  const trained = await run(argv);
  expect(trained).toMatchObject({ code: 0, stdout: `${weightsOf("a")}\n` });
  const recipe = "--learning-rate 0.003 --lr-schedule cosine --warmup-steps 50"; // but for what was given
  expect(trained.stderr).toMatch(
    new RegExp(`SiT-Pixels for these images \\(sit, 8 blocks, .*\\), trained with ${recipe}\n`),
  );
  expect(readJsonFile(at("runs/a/config.json"))).toMatchObject({
    model: "SiT-Pixels",
    learningRate: 3e-3,
    batchSize: 2,
  });
  expect(trained.stderr).toContain("classes: 0 circle, 1 cross, 2 star\n");
  expect(trained.stderr).toContain(
    `4 images of ${at("images")}, cropped to 16 × 16, are in ${at("runs/decoded-images")}`,
  );
  const { model, classNames } = await openModel(weightsOf("a"));
  expect(model.config).toMatchObject({ inputSize: 16, inChannels: 3, numClasses: 3 });
  expect(classNames).toEqual(["circle", "cross", "star"]);

  const cache = contents(at("runs/decoded-images"));
  expect(await run(argv)).toMatchObject({ code: 0, stdout: trained.stdout }); // resumed, with nothing left to do
  expect(contents(at("runs/decoded-images"))).toEqual(cache);

  const drawn = await run([
    "sample",
    weightsOf("a"),
    "--classes",
    "star,0",
    "--count",
    "3",
    "--steps",
    "2",
    "--out",
    at("s"),
  ]);
  expect(drawn.code).toBe(0);
  expect(readJsonFile(at("s/samples.json"))).toMatchObject({ settings: { classes: [2, 0] } });
  expect(readFileSync(at("s/grid.png"))[25]).toBe(2); // a PNG's colour type: RGB
  const inspected = await run(["inspect", weightsOf("a")]);
  expect(inspected.stdout).toMatch(/^classes +0 circle, 1 cross, 2 star$/m);
}, 60_000);

test("grey images make a model of one channel", async () => {
  mkdirSync(at("grey/a"), { recursive: true });
  const grey = noisePicture(1);
  for (let i = 0; i < grey.size; i++) grey.data[i] = grey.data[i - (i % 3)]!;
  writeFileSync(at("grey/a/1.png"), encodePng(grey));
  const { code, stderr } = await run(["train", "--data", at("grey"), "--size", "16", "--out", at("runs/g"), ...brief]);
  expect(code).toBe(0);
  expect(stderr).toMatch(/^1 image of \S+, cropped to 16 × 16, is in /m);
  expect(stderr).toMatch(/^1 image is few: a model learns it by heart$/m);
  expect((await openModel(weightsOf("g"))).model.config).toMatchObject({ inChannels: 1, numClasses: 1 });
}, 60_000);

test("the methods take it as any other data, and the cache of the first run", async () => {
  plantImages(at("images"), classFolders);
  const model = await plantModel(at("m.safetensors"), pixelConfig);
  const data = ["--data", at("images"), "--threads", "1"];
  const loop = ["--steps", "1", "--batch-size", "2"];
  const calls = {
    learned: ["prune", model, "--groups", "1:2", ...loop],
    taylor: ["prune", model, "--method", "taylor", "--groups", "1:2", "--calibration", "2", "--micro-batch", "2"],
    narrow: ["prune-width", model, "--heads", "0.5", "--examples", "2", "--micro-batch", "2"],
    student: ["finetune", at("runs/learned/pruned.safetensors"), "--teacher", model, ...loop],
  };
  for (const [name, argv] of Object.entries(calls)) {
    const { code, stderr } = await run([...argv, ...data, "--out", at("runs", name)]);
    expect([name, code, code === 0 ? "" : stderr]).toEqual([name, 0, ""]);
    expect(readdirSync(at("runs/decoded-images"))).toHaveLength(1);
  }
  const student = await openModel(at("runs/student/checkpoints/step-00000001/ema.safetensors"));
  expect(student.classNames).toEqual(["circle", "cross", "star"]);
}, 60_000);

test("--dry-run plans it and writes nothing", async () => {
  plantImages(at("images"), classFolders);
  const before = contents(folder);
  const planned = await run([
    "train",
    "--data",
    at("images"),
    "--size",
    "16",
    "--dry-run",
    "--out",
    at("runs/a"),
    ...brief,
  ]);
  expect(planned).toMatchObject({ code: 0, stdout: expect.stringContaining("passes over 4") });
  expect(contents(folder)).toEqual(before);
}, 60_000);

test("an edited image is noticed when a run is resumed, which is refused", async () => {
  plantImages(at("images"), classFolders);
  const argv = ["train", "--data", at("images"), "--size", "16", "--out", at("runs/a"), ...brief];
  expect((await run(argv)).code).toBe(0);
  writeFileSync(at("images/star/1.png"), encodePng(noisePicture(77)));
  const { code, stderr } = await run(argv);
  expect([code, stderr]).toEqual([
    1,
    expect.stringContaining("images changed since they were decoded, which is done again: star/1.png"),
  ]);
  expect(stderr).toContain("dataSha256");
}, 60_000);

test("classes that a model knows by other names are noted", async () => {
  plantImages(at("images"), classFolders);
  const model = await plantModel(at("m.safetensors"), pixelConfig, { classNames: ["circle", "square", "star"] });
  const argv = ["train", "--init", model, "--data", at("images"), "--out", at("runs/a"), ...brief];
  expect((await run(argv)).stderr).toContain(
    `classes of ${model} and of ${at("images")} disagree: 1 is "square" there and "cross" here\n`,
  );
}, 60_000);

const refusals: [string, () => Promise<string[]> | string[], RegExp][] = [
  [
    "a model of latents",
    async () => ["train", "--init", await plantModel(at("m.safetensors"), { ...pixelConfig, inChannels: 4 })],
    /is a folder of images, the model takes 4-channel latents of 8 × 8: encode the images first \(tinyfusion encode --images .* or train a model of pixels/,
  ],
  [
    "another size than the model's",
    async () => ["train", "--init", await plantModel(at("m.safetensors"), pixelConfig), "--size", "16"],
    /--size 16: the model takes images of 8 × 8; leave --size out/,
  ],
  [
    "more classes than the model's",
    async () => ["train", "--init", await plantModel(at("m.safetensors"), { ...pixelConfig, numClasses: 2 })],
    /has 3 classes, the model knows 2/,
  ],
  ["a size that no patch divides", () => ["train", "--size", "31"], /images of 31 × 31 do not fit patches/],
];

test.each(refusals)("refused: %s", async (_name, argv, message) => {
  plantImages(at("images"), classFolders);
  const { code, stderr } = await run([...(await argv()), "--data", at("images"), "--out", at("runs/a"), ...brief]);
  expect([code, stderr]).toEqual([1, expect.stringMatching(message)]);
  expect(existsSync(at("runs/a"))).toBe(false);
});

test("refused: a run among the images, a single image, and what only images have", async () => {
  plantImages(at("images"), classFolders);
  for (const out of ["images", "images/run", "images/runs/a"]) {
    const inside = await run(["train", "--data", at("images"), "--out", at(out), ...brief]);
    expect(inside).toMatchObject({ code: 1, stderr: expect.stringContaining("where it would count as a class") });
  }
  for (const option of [[], ["--size", "8"], ["--flip"]]) {
    const given = ["--data", at("images/circle/1.png"), ...option];
    const single = await run(["train", ...given, "--out", at("runs/a"), ...brief]);
    expect(single.code).toBe(1);
    expect(single.stderr).toMatch(/expected a folder of images .*, found a single PNG image; name its folder/);
  }
  for (const option of [["--size", "28"], ["--flip"]]) {
    const cropped = await run(["train", ...option, "--out", at("runs/a"), ...brief]);
    expect(cropped).toMatchObject({ code: 2, stderr: expect.stringContaining("only folders of images are cropped") });
  }
  expect((await run(["train", "--data", at("images"), "--verify", "--out", at("runs/a"), ...brief])).code).toBe(2);
});

test("all unreadable images are named, and nothing is left of the run", async () => {
  plantImages(at("images"), [...classFolders, ["star/2.png", "no picture"], ["cross/2.png", ""]]);
  for (const model of [["--model-config", modelFile()], []]) {
    const { code, stderr } = await run(["train", "--data", at("images"), "--out", at("runs/a"), ...model, ...brief]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/2 of 6 images cannot be used; .*cross\/2\.png: .*; star\/2\.png: /);
  }
  expect(existsSync(at("runs/a"))).toBe(false);
});

function modelFile(): string {
  writeFileSync(at("model.json"), JSON.stringify(pixelConfig));
  return at("model.json");
}
