/** Whole images drawn with the exported files alone are those that `generate` draws. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { float32, type NDArray } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { Autoencoder, type LoadedAutoencoder } from "../../src/data/autoencoder/autoencoder.ts";
import { tokenNoise } from "../../src/diffusion/masking/generate-tokens.ts";
import { tokenOrders } from "../../src/diffusion/masking/masks.ts";
import { relativeDifference } from "../../src/export/check.ts";
import { autoencoderSpecs } from "../../src/models/autoencoder/autoencoder.ts";
import { diffusersAutoencoderConfig } from "../../src/models/autoencoder/config.ts";
import { tokenCount } from "../../src/models/family.ts";
import { type MarConfig, tokenSize } from "../../src/models/mar/config.ts";
import { unpatchify } from "../../src/models/mar/patches.ts";
import { modelOf } from "../../src/models/registry.ts";
import { sampleImages } from "../../src/sampling/sample-images.ts";
import type { SamplingSettings } from "../../src/sampling/sampling-settings.ts";
import { weightSpecs } from "../../src/weights/model-file.ts";
import type { Row } from "../conformance/models.ts";
import { fileOf, readAutoencoder, settings } from "../golden/autoencoder-fixture.ts";
import { awakeWeights } from "../training/tiny.ts";
import { engine, exported, exportFolder, rowNamed } from "./exported.ts";
import { ddim, decode, euler, readPipeline, type TokenRandomness, tokens } from "./sampling-loops.ts";

const folder = exportFolder();
afterAll(() => rmSync(folder, { recursive: true }));

const SEED = 5;
const labels = [2, 0, 1];

const expectedImages = async ({ model, weights, process }: Row, sampling: SamplingSettings) =>
  (await sampleImages({ engine, model, weights, process, labels: Int32Array.from(labels), seed: SEED, ...sampling }))
    .images;

/** What image after image starts from. */
function startOf({ model: { config } }: Row): Float32Array {
  const size = config.inChannels * config.inputSize ** 2;
  const rows = labels.map((_, index) => normals({ seed: SEED, purpose: "sample noise", step: 0, index }, size));
  return Float32Array.from(rows.flatMap((row) => [...row]));
}

function expectClose(found: Float32Array, expected: NDArray, bound = 1e-4): void {
  expect(expected.data.some((value) => Math.abs(Number(value)) > 0.1)).toBe(true);
  expect(relativeDifference(float32(found, expected.shape), expected)).toBeLessThan(bound);
}

describe("images drawn by a loop that reads pipeline.json alone", () => {
  test.each([
    ["DiT with learned variance", { guidance: true }],
    ["DiT without", { guidance: true, provider: "cpu" }],
    ["DiT with learned variance", { guidance: false, batch: 3 }],
  ] as const)("%s, DDIM, %o", async (name, change) => {
    const row = rowNamed(name);
    const sampling = { steps: "ddim5", cfgScale: 1.5 };
    const out = join(folder, `${name} ${JSON.stringify(change).replaceAll(/\W/g, "")}`);
    await exported(row, out, { sampling, ...change });
    expectClose(await ddim(out, startOf(row), labels), await expectedImages(row, sampling));
  });

  test.each(["webgpu", "cpu"] as const)("in int8 with operators for %s: near our own int8", async (provider) => {
    const row = rowNamed("DiT with learned variance");
    const sampling = { steps: "ddim5", cfgScale: 1.5 };
    const out = join(folder, `int8 ${provider}`);
    await exported(row, out, { sampling, guidance: true, precision: "int8", provider });
    const expected = await expectedImages(row, { ...sampling, precision: "int8" });
    const whole = await expectedImages(row, sampling);
    expectClose(await ddim(out, startOf(row), labels), expected, relativeDifference(whole, expected));
  });

  test.each(["SiT, velocities", "SiT, weighted scores"])("%s: Euler's method", async (name) => {
    const row = rowNamed(name);
    const sampling = { steps: "6", sampler: "euler", cfgScale: 3 };
    const out = join(folder, name.replaceAll(/\W/g, ""));
    await exported(row, out, { sampling });
    expectClose(await euler(out, startOf(row), labels), await expectedImages(row, sampling));
  });

  test("guidance of some channels is part of the file", async () => {
    const row = rowNamed("DiT with learned variance");
    const sampling = { steps: "ddim5", cfgScale: 3, cfgChannels: 1 };
    const out = join(folder, "channels");
    await exported(row, out, { sampling });
    const [found, expected] = [await ddim(out, startOf(row), labels), await expectedImages(row, sampling)];
    expectClose(found, expected);
    const all = await expectedImages(row, { ...sampling, cfgChannels: 2 });
    expect(relativeDifference(all, expected)).toBeGreaterThan(1e-3);
  });

  test("MAR: both graphs, guided more and more", async () => {
    const row = rowNamed("MAR");
    const config = row.model.config as unknown as MarConfig;
    const sampling = { steps: "4", headSteps: "5", cfgScale: 2 };
    const out = join(folder, "mar");
    await exported(row, out, { sampling });
    const keys = labels.map((_, index) => ({ seed: SEED, purpose: "token order", step: 0, index }));
    const random: TokenRandomness = { orders: tokenOrders(keys, tokenCount(config)), noise: tokenNoise(SEED, 0) };
    const found = await tokens(out, labels, random);
    const shape = [labels.length, tokenCount(config), tokenSize(config)];
    const images = unpatchify(float32(found, shape), config);
    expectClose(images.data, await expectedImages(row, sampling));
  });
});

describe("a model of latents with its decoder", () => {
  const config = { ...diffusersAutoencoderConfig(settings.configs.small), scalingFactor: 0.4, shiftFactor: 0.25 };
  const body = { inputSize: 4, inChannels: config.latentChannels, patchSize: 2, hiddenSize: 8, depth: 1, numHeads: 2 };
  const model = modelOf({ ...body, numClasses: 3 });
  let vae: LoadedAutoencoder;
  beforeAll(async () => {
    const shapes = Object.fromEntries(autoencoderSpecs(config).map(({ name, shape }) => [name, shape]));
    vae = await readAutoencoder(fileOf(shapes), config, "small");
  });

  test.each([1, 3])("decodes %i latents as our autoencoder does, with scale and shift inside", async (rows) => {
    const row = { ...rowNamed("DiT with"), model, weights: awakeWeights(weightSpecs(model)) };
    const out = join(folder, `latents ${rows}`);
    await exported(row, out, { vae });
    const latents = float32(
      normals({ seed: 1, purpose: "latents", step: 0, index: 0 }, rows * config.latentChannels * 16).map((x) => x / 4),
      [rows, config.latentChannels, 4, 4],
    );
    const images = await new Autoencoder(engine, vae).decode(latents);
    const clipped = images.data.map((x) => Math.min(1, Math.max(-1, x)));
    expect(clipped.some((x, i) => x === images.data[i] && Math.abs(x) > 0.1)).toBe(true);
    expectClose(await decode(out, latents.data, rows), float32(clipped, images.shape));
    expect(readPipeline(out).vae).toMatchObject({
      ...{ scalingFactor: 0.4, shiftFactor: 0.25, scaleIsInside: true, latentChannels: config.latentChannels },
      inputs: [{ name: "latents", dtype: "float32", shape: ["batch", config.latentChannels, 4, 4] }],
    });
  });

  test("an autoencoder of other latents is refused", async () => {
    const result = exported(rowNamed("DiT with"), join(folder, "other latents"), { vae });
    await expect(result).rejects.toThrow(
      /expected an autoencoder of the model's 2-channel latents, found \d+ channels/,
    );
  });
});
