/** What a clone without Git LFS leaves in the place of every kind of file, and a login page that was downloaded as one. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { plantModel, run } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "mistaken-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...parts: string[]): string => join(folder, ...parts);
const model = at("model.safetensors");
const out = ["--out", at("out")];

const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"4d7a2146".repeat(8)}\nsize 12345\n`;
const files = {
  ...{ reference: at("ref.npz"), images: at("images.idx"), labels: at("labels.csv"), jsonLabels: at("labels.json") },
  ...{
    curves: at("curves.json"),
    yaml: at("opts.yaml"),
    config: at("config.json"),
    weights: at("weights.safetensors"),
  },
  ...{ image: at("images", "a.png"), samples: at("sampled", "samples.safetensors"), set: at("set", "generate.json") },
  ...{ index: at("latents", "index.json") },
};

beforeAll(() => plantModel(model));

describe.each([
  [
    "a Git LFS pointer",
    pointer,
    /found a Git LFS pointer, which only names the real file; fetch that with "git lfs pull"/,
  ],
  [
    "a web page",
    "<!DOCTYPE html><title>Sign in</title>",
    /found a web page; it is an error or login page; download the file/,
  ],
])("%s", (_, content, message) => {
  beforeAll(() => {
    for (const path of Object.values(files)) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content);
    }
  });

  test.each<[string, string[]]>([
    ["a reference", ["evaluate", model, "--count", "20", "--reference", files.reference, ...out]],
    ["images to evaluate", ["evaluate", files.reference, ...out]],
    ["images of a reference", ["reference", files.reference, "--out", at("made.npz")]],
    ["the samples of a folder", ["evaluate", at("sampled"), ...out]],
    ["the description of a set", ["evaluate", at("set"), ...out]],
    ["an image of a folder", ["evaluate", at("images"), ...out]],
    ["an IDX file", ["train", "--data", files.images, "--labels", files.images, ...out]],
    ["an index of latents", ["train", "--data", at("latents"), ...out]],
    ["labels in lines", ["encode", "--images", at("images"), "--labels", files.labels, "--vae", model, ...out]],
    ["labels as JSON", ["encode", "--images", at("images"), "--labels", files.jsonLabels, "--vae", model, ...out]],
    ["curves of a cache", ["sample", model, "--count", "2", "--cache", "0.2", "--cache-curves", files.curves, ...out]],
    ["options in YAML", ["sample", model, "--config", files.yaml]],
    ["a configuration", ["sample", files.weights, "--model-config", files.config, ...out]],
    ["weights", ["sample", files.weights, ...out]],
  ])("in the place of %s is named, with what to do", async (_what, argv) => {
    const { code, stderr } = await run(argv);
    expect(code).toBe(1);
    expect(stderr.trimEnd().split("\n").at(-1)).toMatch(message);
  });
});
