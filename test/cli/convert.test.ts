/** `tinyfusion convert`: every format from every other, whole files or none, and what cannot be written is named. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NDArray } from "../../src/array/ndarray.ts";
import { processOf } from "../../src/diffusion/process.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import { openTorch } from "../../src/formats/torch/open-torch.ts";
import { autoencoderSpecs } from "../../src/models/autoencoder/autoencoder.ts";
import { autoencoderConfigSchema } from "../../src/models/autoencoder/config.ts";
import { positionEmbedding } from "../../src/nn/embeddings.ts";
import { fileBytes } from "../../src/storage/read.ts";
import { autoencoderToDiffusers, storedAutoencoder } from "../../src/weights/autoencoder-file.ts";
import { loadModel } from "../../src/weights/model-file.ts";
import { openWeights } from "../../src/weights/open-weights.ts";
import { awakeWeights } from "../training/tiny.ts";
import { plantModel, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "convert-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...parts: string[]) => join(folder, ...parts);
const model = at("model.safetensors");
beforeAll(async () => {
  await plantModel(model);
  const { tensors } = await loadModel(model);
  const fixed = tensors.get("pos_embed")!; // the planted noise is no position
  fixed.data.set(positionEmbedding(tinyConfig.hiddenSize, 2).data);
  const { metadata } = await openWeights(model);
  writeFileSync(model, Buffer.concat([...encodeSafetensors(tensors, metadata)]));
  symlinkSync(model, at("link"));
});

async function convert(...args: string[]) {
  const ended = await run(["convert", ...args]);
  expect(ended.code, ended.stderr).toBe(0);
  return ended;
}

async function refusal(...args: string[]): Promise<{ code: number; stderr: string }> {
  const before = readdirSync(folder).sort();
  const { code, stderr } = await run(["convert", ...args]);
  expect(code).not.toBe(0);
  expect(
    stderr
      .trimEnd()
      .split("\n")
      .filter((line) => line.startsWith("tinyfusion: ")),
  ).toHaveLength(1);
  expect(readdirSync(folder).sort()).toEqual(before);
  return { code, stderr };
}

const sorted = (tensors: ReadonlyMap<string, NDArray>) => new Map([...tensors].sort());

describe("weights survive", () => {
  test("as a .pt, without a description: names are the original's, and the model is told", async () => {
    await convert(model, "--to", "pt", "--out", at("model.pt"));
    const { tensors } = await openTorch(await fileBytes(at("model.pt")));
    const expected = await loadModel(model);
    expect([...tensors.keys()].sort()).toEqual([...expected.tensors.keys()].sort());
    writeFileSync(at("config.yaml.json"), JSON.stringify(expected.model.config));
    await convert(at("model.pt"), "--model-config", at("config.yaml.json"), "--out", at("again.safetensors"));
    expect(sorted((await loadModel(at("again.safetensors"))).tensors)).toEqual(sorted(expected.tensors));
  });

  test("as a folder of diffusers and back, bit for bit", async () => {
    const { stdout, stderr } = await convert(model, "--to", "diffusers", "--out", at("folder"));
    expect(stdout).toMatch(/folder: dit, 4 blocks, /);
    expect(stderr).toMatch(/downscale_freq_shift = 0/);
    await convert(at("folder"), "--out", at("back.safetensors"));
    expect(readFileSync(at("back.safetensors"))).toEqual(readFileSync(model));
  });

  test("in several files, and a pruned model with its history", async () => {
    expect((await run(["prune", model, "--blocks", "0,2,3", "--out", at("run")])).code).toBe(0);
    await convert(at("run", "pruned.safetensors"), "--shard-size", "4e-6", "--out", at("shards"));
    expect(readdirSync(at("shards")).length).toBeGreaterThan(3);
    expect(readdirSync(at("shards"))).toContain("model.safetensors.index.json");
    const [before, after] = [await loadModel(at("run", "pruned.safetensors")), await loadModel(at("shards"))];
    expect(sorted(after.tensors)).toEqual(sorted(before.tensors));
    expect(after.prunings).toEqual(before.prunings);
    expect(after.model.config.depth).toBe(3);
    await convert(at("run", "pruned.safetensors"), "--to", "diffusers", "--out", at("pruned-folder"));
    const config = JSON.parse(readFileSync(at("pruned-folder", "transformer", "config.json"), "utf8"));
    expect(config).toMatchObject({ num_layers: 3, norm_eps: 1e-6, num_embeds_ada_norm: 10 });
  });

  test("a model of another family, as a .pt", async () => {
    const path = await plantModel(
      at("sit.safetensors"),
      { ...tinyConfig, family: "sit" },
      { process: processOf("flow") },
    );
    await convert(path, "--to", "pt", "--out", at("sit.pt"));
    expect((await openWeights(at("sit.pt"))).tensors.size).toBe((await loadModel(path)).tensors.size);
    const { stderr } = await refusal(path, "--to", "diffusers", "--out", at("sit-folder"));
    expect(stderr).toMatch(/sit\.safetensors: diffusers has no sit, only a DiT; convert to pt or safetensors instead/);
  });
});

test("in float16 and bfloat16, with half the bytes", async () => {
  for (const dtype of ["float16", "bfloat16"]) {
    await convert(model, "--dtype", dtype, "--out", at(`${dtype}.safetensors`));
    const { tensors, metadata } = await openWeights(at(`${dtype}.safetensors`));
    expect(new Set(Array.from(tensors.values(), (tensor) => tensor.dtype))).toEqual(new Set([dtype]));
    expect(metadata.tinyfusion).toBe((await openWeights(model)).metadata.tinyfusion);
  }
});

test("a number that float16 cannot hold is named before anything is written; NaN is told", async () => {
  const { tensors } = await loadModel(model);
  const { metadata } = await openWeights(model);
  tensors.get("blocks.1.mlp.fc1.bias")!.data[0] = 1e5;
  tensors.get("blocks.2.mlp.fc1.bias")!.data[0] = Number.NaN;
  writeFileSync(at("large.safetensors"), Buffer.concat([...encodeSafetensors(tensors, metadata)]));
  const { stderr } = await refusal(at("large.safetensors"), "--dtype", "float16", "--out", at("half.safetensors"));
  expect(stderr).toMatch(/cannot store as float16, .*blocks\.1\.mlp\.fc1\.bias \(1\.000e\+5\)/);
  const told = await convert(at("large.safetensors"), "--to", "pt", "--out", at("large.pt"));
  expect(told.stderr).toMatch(/not finite: blocks\.2\.mlp\.fc1\.bias \(1 NaN\); they were written as they are/);
});

test("a scheduler that contradicts the weights' own description is refused", async () => {
  await convert(model, "--to", "diffusers", "--out", at("other-scheduler"));
  const file = at("other-scheduler", "scheduler", "scheduler_config.json");
  const json = JSON.parse(readFileSync(file, "utf8"));
  writeFileSync(file, JSON.stringify({ ...json, beta_schedule: "squaredcos_cap_v2" }));
  const { stderr } = await refusal(at("other-scheduler"), "--out", at("x.safetensors"));
  expect(stderr).toMatch(/scheduler_config\.json says .*squaredcos_cap_v2.*, the weights themselves .*linear/);
});

test("an autoencoder of other latents than the model's is refused", async () => {
  const config = autoencoderConfigSchema.parse({
    ...{ inChannels: 3, outChannels: 3, latentChannels: 4, blockOutChannels: [8, 16], layersPerBlock: 1 },
    ...{ normNumGroups: 4, encoderAttention: [1], scalingFactor: 0.5, shiftFactor: 0.1, sampleSize: 16 },
  });
  const weights = Buffer.concat([...encodeSafetensors(awakeWeights(autoencoderSpecs(config)))]);
  mkdirSync(at("four"));
  writeFileSync(at("four", "config.json"), JSON.stringify(autoencoderToDiffusers(config)));
  writeFileSync(at("four", "diffusion_pytorch_model.safetensors"), weights);
  const { stderr } = await refusal(model, "--to", "diffusers", "--vae", at("four"), "--out", at("with-four"));
  expect(stderr).toMatch(/expected an autoencoder of the model's 1-channel latents, found 4 channels/);
});

test("a config.json that is not diffusers' does not keep weights from being read", async () => {
  for (const content of ["", "{", "[]", '{"model_type":"x"}']) {
    mkdirSync(at("beside"), { recursive: true });
    writeFileSync(at("beside", "config.json"), content);
    writeFileSync(at("beside", "model.safetensors"), readFileSync(model));
    expect((await run(["inspect", at("beside", "model.safetensors")])).code, content).toBe(0);
    expect((await run(["inspect", at("beside")])).code, content).toBe(0);
  }
});

test("an autoencoder beside the model, under diffusers' present names", async () => {
  const config = autoencoderConfigSchema.parse({
    ...{ inChannels: 3, outChannels: 3, latentChannels: 1, blockOutChannels: [8, 16], layersPerBlock: 1 },
    ...{ normNumGroups: 4, encoderAttention: [1], scalingFactor: 0.5, shiftFactor: 0.1, sampleSize: 16 },
  });
  const old = new Map(
    Array.from(awakeWeights(autoencoderSpecs(config)), ([name, array]) => [name.replace(".to_q.", ".query."), array]),
  );
  mkdirSync(at("vae"));
  writeFileSync(at("vae", "config.json"), JSON.stringify(autoencoderToDiffusers(config)));
  writeFileSync(at("vae", "diffusion_pytorch_model.safetensors"), Buffer.concat([...encodeSafetensors(old)]));
  await convert(model, "--to", "diffusers", "--vae", at("vae"), "--out", at("with-vae"));
  const written = storedAutoencoder(await openWeights(at("with-vae", "vae")));
  expect(written.config).toEqual(config);
  expect([...written.tensors.keys()].some((name) => name.includes(".to_q."))).toBe(true);
  const index = JSON.parse(readFileSync(at("with-vae", "model_index.json"), "utf8"));
  expect(index.vae).toEqual(["diffusers", "AutoencoderKL"]);
  const { stderr } = await refusal(model, "--to", "diffusers", "--vae", model, "--out", at("wrong-vae"));
  expect(stderr).toMatch(/its weights are not those of sd-vae-ft or kl16/);
});

describe("mistakes are one sentence, and nothing is written:", () => {
  test.each<[string, () => string[], number, RegExp]>([
    ["no --out", () => [model], 2, /--out is required/],
    [
      "an unknown format",
      () => [model, "--to", "onnx", "--out", at("x")],
      2,
      /--to expects one of safetensors, pt, diff/,
    ],
    ["a vae in a .pt", () => [model, "--to", "pt", "--vae", "v", "--out", at("x.pt")], 2, /--to pt and --vae exclude/],
    ["shards of a .pt", () => [model, "--to", "pt", "--shard-size", "1", "--out", at("x.pt")], 2, /exclude each other/],
    ["a folder that is full", () => [model, "--to", "diffusers", "--out", folder], 1, /found one that is not empty/],
    ["the file itself", () => [model, "--out", model], 1, /is the file that is converted/],
    [
      "the file itself under another name",
      () => [model, "--dtype", "float16", "--out", relative(process.cwd(), model)],
      1,
      /is the file that is converted/,
    ],
    ["the file itself by a link", () => [model, "--to", "pt", "--out", at("link")], 1, /is the file that is converted/],
    [
      "too many files for one name",
      () => [model, "--shard-size", "1e-5", "--out", at("x.safetensors")],
      1,
      /would need \d+ files of at most 0\.00001 GB; give a folder, or a larger --shard-size/,
    ],
    ["no such file", () => [at("nowhere"), "--out", at("x.safetensors")], 1, /nowhere: no such file/],
  ])("%s", async (_, args, code, message) => {
    const ended = await refusal(...args());
    expect(ended.code).toBe(code);
    expect(ended.stderr).toMatch(message);
  });

  test("being stopped", async () => {
    const controller = new AbortController();
    controller.abort();
    const ended = await run(["convert", model, "--to", "pt", "--out", at("stopped.pt")], controller.signal);
    expect(ended).toMatchObject({ code: 130, stderr: expect.stringContaining("stopped; nothing was written\n") });
    expect(existsSync(at("stopped.pt"))).toBe(false);
  });

  test("--help shows examples", async () => {
    expect((await run(["convert", "--help"])).stdout).toMatch(/Examples:\n.*tinyfusion convert DiT-XL-2-256x256\.pt/s);
  });
});

test("a model that is named against what the file says is refused, by sample and prune too", async () => {
  const path = await plantModel(join(folder, "described.safetensors"));
  for (const command of [
    ["convert", path, "--to", "pt"],
    ["sample", path],
    ["prune", path, "--blocks", "0,1"],
  ]) {
    const { code, stderr } = await run([...command, "--model", "MAR-B", "--out", join(folder, "contradicted")]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/says itself that it is .*leave --model/)]);
  }
  expect(existsSync(join(folder, "contradicted"))).toBe(false);
});
