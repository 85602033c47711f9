/** `tinyfusion inspect` on weights of other origins: all good files are told, all bad ones refused in one line. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import { encodeNpz } from "../../src/formats/npz.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import { autoencoderSpecs } from "../../src/models/autoencoder/autoencoder.ts";
import { autoencoderConfigSchema, autoencoderPresets } from "../../src/models/autoencoder/config.ts";
import { namesOf } from "../../src/models/autoencoder/names.ts";
import { preset } from "../../src/models/presets.ts";
import { positionEmbedding } from "../../src/nn/embeddings.ts";
import { autoencoderToDiffusers } from "../../src/weights/autoencoder-file.ts";
import { loadModel, saveModel } from "../../src/weights/model-file.ts";
import { weightSpecs } from "../../src/weights/weight-specs.ts";
import { plantImages } from "../data/images/plant-images.ts";
import { encodeTiny } from "../data/latents/encode-run.ts";
import { atLeastOne, goldenFolder } from "../golden/fixture.ts";
import { plantShapes, plantTorch } from "../weights/planted.ts";
import { plantModel, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "inspect-weights-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...parts: string[]) => join(folder, ...parts);

async function json(...args: string[]) {
  const { code, stdout, stderr } = await run(["inspect", ...args, "--json"]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return JSON.parse(stdout);
}

const checkpoints = atLeastOne(
  readdirSync(goldenFolder).filter((name) => /^10_ckpt_.*\.pt$/.test(name)),
  "golden checkpoints",
);
const isBad = (name: string) => /malicious|truncated/.test(name);
const settings = JSON.parse(readFileSync(join(goldenFolder, "10_ckpt_expected.json"), "utf8")).settings;
const tellTale = join(tmpdir(), /^\S+/.exec(settings.tell_tale)![0]);

describe("files of torch.save", () => {
  test.each(
    atLeastOne(
      checkpoints.filter((name) => !isBad(name)),
      "good files",
    ),
  )("%s", async (name) => {
    const facts = await json(join(goldenFolder, name), "--check");
    expect(facts).toMatchObject({ kind: "tensors", model: null, fits: [], problem: null });
    expect(facts.format).toBe(name.includes("legacy") ? "PyTorch (legacy)" : "PyTorch (zip)");
    if (name.includes("train")) {
      expect(facts).toMatchObject({ stateDicts: ["model", "ema"], taken: "ema", notFinite: {} });
      expect(facts.beside).toMatchObject({ train_steps: 123, args: settings.args });
    }
    if (name.includes("views")) {
      const specials = { nan: 1, infinite: 2 };
      expect(facts.notFinite).toEqual({ specials, half_specials: specials });
    }
  });

  test.each(atLeastOne(checkpoints.filter(isBad), "bad files"))("%s", async (name) => {
    expect(existsSync(tellTale), `${tellTale} is there before the test; remove it`).toBe(false);
    const { code, stdout, stderr } = await run(["inspect", join(goldenFolder, name)]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^tinyfusion: [^\n]+\n$/);
    expect(stderr).not.toMatch(/\bat \S+:\d+|defect of tinyfusion/);
    expect(existsSync(tellTale)).toBe(false);
  });

  test("as a table: which weights these are, and what stands beside them", async () => {
    const path = join(goldenFolder, "10_ckpt_train.pt");
    const { stdout } = await run(["inspect", path, "--weights", "model", "--check", "--tensors"]);
    expect(stdout).toMatch(/\nformat +PyTorch \(zip\)\n/);
    expect(stdout).toMatch(/\nstate dicts +model, ema; shown are the weights as trained\n/);
    expect(stdout).toMatch(/\nvalues +all finite\n/);
    expect(stdout).toMatch(/\nbeside: train_steps +123\n/);
    expect(stdout).toMatch(/\ntensor +type +shape +numbers +NaN +infinite\n/);
  });
});

describe("models", () => {
  test("TinyDiT-D14 as a .pt", { timeout: 30_000 }, async () => {
    const path = await plantTorch(at("TinyDiT-D14.pt"), weightSpecs(preset("TinyDiT-D14")));
    expect(await json(path)).toMatchObject({
      fits: ["TinyDiT-D14", "TinySiT-D14"],
      parameters: { total: 340_457_504 },
    });
  });

  test("a folder of diffusers is a model, with the preset of its configuration", async () => {
    const model = await plantModel(at("model.safetensors"), { ...tinyConfig, depth: 2 });
    const path = at("positions.safetensors");
    const file = await loadModel(model);
    await saveModel(path, file.model, new Map([...file.tensors, ["pos_embed", positionEmbedding(8, 2)]]), file);
    expect((await run(["convert", path, "--to", "diffusers", "--out", at("folder")])).code).toBe(0);
    for (const place of [at("folder"), at("folder", "transformer")]) {
      const facts = await json(place);
      expect(facts).toMatchObject({ kind: "model", format: "safetensors, in a folder of diffusers", problem: null });
      expect(facts.model).toMatchObject({ config: { ...tinyConfig, depth: 2 }, images: 12 });
    }
  });

  test("several files and their index", async () => {
    const model = await plantModel(at("sharded.safetensors"));
    expect((await run(["convert", model, "--shard-size", "1e-5", "--out", at("shards")])).code).toBe(0);
    const facts = await json(at("shards", "model.safetensors.index.json"));
    expect(facts).toMatchObject({ kind: "model", model: { config: tinyConfig } });
    expect(facts.format).toMatch(/^safetensors \(\d+ files\)$/);
    expect((await json(at("shards"))).sha256).toBe(facts.sha256);
  });

  test("npz", async () => {
    writeFileSync(at("arrays.npz"), Buffer.concat([...encodeNpz(new Map([["a", float32([1, 2])]]))]));
    expect(await json(at("arrays.npz"))).toMatchObject({ kind: "tensors", format: "npz", parameters: { total: 2 } });
  });
});

describe("autoencoders", () => {
  test.each([
    ...autoencoderPresets,
  ])("%s, by diffusers' names and by those of latent diffusion", async (name, config) => {
    const specs = autoencoderSpecs(config);
    const original = specs.map(({ name: ours, shape }) => ({ name: namesOf(ours, config).at(-1)!, shape }));
    for (const weights of [specs, original]) {
      const path = plantShapes(at("vae.safetensors"), weights);
      expect(await json(path)).toMatchObject({ kind: "autoencoder", fits: [name], model: null });
    }
    const { stderr, code } = await run(["sample", at("vae.safetensors"), "--out", at("never")]);
    expect(code).toBe(1);
    expect(stderr).toContain(`it holds the autoencoder ${name}, which is given with --vae`);
  });

  test("a vae folder of diffusers with sizes of its own, and one whose weights do not fit it", async () => {
    const sizes = { inChannels: 3, outChannels: 3, latentChannels: 4, layersPerBlock: 1, normNumGroups: 4 };
    const config = autoencoderConfigSchema.parse({
      ...{ ...sizes, blockOutChannels: [8, 16], scalingFactor: 0.5, sampleSize: 16 },
    });
    mkdirSync(at("vae"));
    writeFileSync(at("vae", "config.json"), JSON.stringify(autoencoderToDiffusers(config)));
    const file = at("vae", "diffusion_pytorch_model.safetensors");
    plantShapes(file, autoencoderSpecs(config));
    expect(await json(at("vae"))).toMatchObject({ kind: "autoencoder", fits: [] });
    plantShapes(file, autoencoderSpecs(config).slice(1));
    const { code, stderr } = await run(["inspect", at("vae")]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/does not fit the model: missing \(1\): /);
  });
});

test("a description that says less than the weights is a problem, told after the facts", async () => {
  const description = JSON.stringify({ config: { ...tinyConfig, depth: 3 }, weights: "raw" });
  const { tensors } = await loadModel(await plantModel(at("four.safetensors")));
  writeFileSync(at("three.safetensors"), Buffer.concat([...encodeSafetensors(tensors, { tinyfusion: description })]));
  const { code, stdout, stderr } = await run(["inspect", at("three.safetensors")]);
  expect(code).toBe(1);
  expect(stdout).toMatch(/\ndepth +3 blocks\n/);
  expect(stderr).toMatch(/unexpected \(10\): blocks\.3\./);
});

describe("folders of latents", () => {
  test("whole, checked, damaged and unfinished", async () => {
    plantImages(at("images"), ["a/1.png", "a/2.png", "b/3.png"]);
    await encodeTiny(folder, { flip: true });
    for (const path of [at("out"), at("out", "index.json")]) {
      expect(await json(path)).toMatchObject({ kind: "latents", count: 3, shape: [4, 4, 4], verified: false });
    }
    expect((await run(["inspect", at("out"), "--check"])).stdout).toMatch(/\nshards +1: .*, all checksums are right\n/);
    const shard = at("out", readdirSync(at("out")).find((name) => name.endsWith(".safetensors"))!);
    const bytes = readFileSync(shard);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(shard, bytes);
    const { code, stderr } = await run(["inspect", at("out"), "--check"]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/its SHA-256 is not the one in index\.json/)]);
    rmSync(at("out", "index.json"));
    expect((await run(["inspect", at("out")])).stderr).toMatch(/its latents are not complete; repeat the command/);
  });
});
