import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { plantModel, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-export-"));
afterAll(() => rmSync(folder, { recursive: true }));

const model = join(folder, "tiny.safetensors");
const sit = join(folder, "sit.safetensors");
beforeAll(async () => {
  await plantModel(model);
  await plantModel(sit, { family: "sit", ...tinyConfig }, { process: { kind: "flow", path: "linear" } as never });
});

const pipelineIn = (out: string) => JSON.parse(readFileSync(join(out, "pipeline.json"), "utf8"));
const exporting = (path: string, out: string, ...more: string[]) =>
  run(["export", path, "--onnx", "--out", out, "--threads", "1", ...more]);

describe("tinyfusion export", () => {
  test("writes the files and says how far they are from our own session", async () => {
    const out = join(folder, "whole");
    const { code, stdout, stderr } = await exporting(model, out, "--guidance", "--steps", "ddim10", "--cfg", "1.5");
    expect([code, readdirSync(out).sort()]).toEqual([0, ["denoiser.onnx", "pipeline.json"]]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/whole: dit, 4 blocks, [\d,]+ parameters, 1 × 28 × 28, 10 classes$/);
    expect(lines[1]).toMatch(/denoiser\.onnx +\S+ [kM]B +differs from our session by \d\.\de-[5-9] \(bound 0\.0001\)$/);
    expect(lines[2]).toBe(join(out, "pipeline.json"));
    expect(stderr.trimEnd().split("\n")).toEqual([
      ...["writing denoiser.onnx", "checking denoiser.onnx", "computing checksums"],
    ]);
    const { sampling, versions, guidance, weights } = pipelineIn(out);
    expect(sampling).toMatchObject({ sampler: "ddim", steps: "ddim10", cfgScale: 1.5 });
    expect(sampling.timesteps).toHaveLength(10);
    expect([guidance.inside, weights.batch, weights.provider]).toEqual([true, "any", "webgpu"]);
    expect(Object.keys(versions)).toContain("onnxruntime-node");
  });

  test("takes every option", async () => {
    const out = join(folder, "options");
    const more = [
      "--dtype",
      "float16",
      "--precision",
      "int8",
      "--batch",
      "4",
      "--provider",
      "cpu",
      "--external",
      "--sampler",
      "euler",
    ];
    const { code, stdout } = await exporting(sit, out, ...more);
    expect([code, readdirSync(out).sort()]).toEqual([0, ["denoiser.onnx", "denoiser.onnx.data", "pipeline.json"]]);
    expect(stdout).toContain("(bound 0.05)");
    const { weights, parts, sampling, guidance } = pipelineIn(out);
    expect(weights.computedIn).toContain("int8");
    expect(weights).toMatchObject({ dtype: "float16", batch: 4, provider: "cpu", kind: "ema" });
    expect(parts.denoiser.inputs[0].shape).toEqual([4, 1, 28, 28]);
    expect([sampling.sampler, sampling.times.length, guidance.inside]).toEqual(["euler", 25, false]);
  });

  test.each([
    ["--onnx", ["export", "m.safetensors", "--out", "o"], "--onnx is required"],
    ["--out", ["export", "m.safetensors", "--onnx"], "--out is required"],
    ["a model", ["export", "--onnx", "--out", "o"], "missing required argument 'file'"],
    ["a batch", ["export", "m.safetensors", "--onnx", "--out", "o", "--batch", "0"], "--batch expects a whole number"],
    ["a dtype", ["export", "m.safetensors", "--onnx", "--out", "o", "--dtype", "int4"], "--dtype expects one of"],
  ])("without %s is a mistake in how it was called", async (_, argv, message) => {
    const { code, stderr } = await run(argv);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });

  test.each([
    ["a model file", "nowhere.safetensors", [], /no such file/],
    [
      "a sampler that the file can serve",
      "sit.safetensors",
      ["--sampler", "dopri5"],
      /can name the samplers euler, heun/,
    ],
    ["an option of this model", "sit.safetensors", ["--eta", "1"], /--eta does not apply to this model's sampler/],
    ["an autoencoder", "tiny.safetensors", ["--vae", "nowhere"], /nowhere: no such file/],
  ])("without %s ends with 1 and one sentence, and writes nothing", async (_, path, more, message) => {
    const out = join(folder, "refused");
    const { code, stderr } = await exporting(join(folder, path), out, ...more);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect([code, existsSync(out)]).toEqual([1, false]);
  });

  test("writes nothing when it is stopped", async () => {
    const out = join(folder, "stopped");
    const before = readdirSync(folder);
    const { code, stderr } = await run(["export", model, "--onnx", "--out", out], AbortSignal.abort());
    expect([code, stderr]).toEqual([130, "stopped; nothing was written\n"]);
    expect(readdirSync(folder)).toEqual(before);
  });

  test("shows examples in its help", async () => {
    const { code, stdout } = await run(["export", "--help"]);
    expect([code, stdout.includes("$ tinyfusion export models/digits/teacher.safetensors --onnx")]).toEqual([0, true]);
  });
});
