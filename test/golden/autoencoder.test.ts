import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type NDArray, NDArray as Values } from "../../src/array/ndarray.ts";
import { Autoencoder, type CodingOptions } from "../../src/data/autoencoder/autoencoder.ts";
import { posteriorOf, scaledLatents } from "../../src/data/autoencoder/posterior.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import {
  type AutoencoderConfig,
  autoencoderPreset,
  diffusersAutoencoderConfig,
} from "../../src/models/autoencoder/config.ts";
import { fileOf, readAutoencoder, settings, stored } from "./autoencoder-fixture.ts";
import "./matchers.ts";

type Case = keyof typeof settings.weights;

const tolerance = { relative: 1e-5 };

async function autoencoderOf(name: Case, config: AutoencoderConfig | undefined): Promise<Autoencoder> {
  const loaded = await readAutoencoder(fileOf(settings.weights[name]), config, name);
  return new Autoencoder(cpuEngine(), loaded);
}

async function checkEncoding(autoencoder: Autoencoder, name: Case, options?: CodingOptions): Promise<void> {
  const found = await autoencoder.encode(stored(`${name}.image`), options);
  const wanted = posteriorOf(stored(`${name}.moments`));
  expect(found.mean).toMatchGolden(wanted.mean, tolerance);
  expect(logarithm(found.std)).toMatchGolden(logarithm(wanted.std), tolerance);
}

const logarithm = ({ shape, data }: NDArray<"float32">) => new Values("float32", shape, data.map(Math.log));

async function checkDecoding(autoencoder: Autoencoder, name: Case, options?: CodingOptions): Promise<void> {
  const latents = scaledLatents(stored(`${name}.latents`), autoencoder.config);
  expect(await autoencoder.decode(latents, options)).toMatchGolden(stored(`${name}.decoded`), tolerance);
}

describe.each([
  ["sd", "Stable Diffusion's autoencoder in diffusers' names", "sd-vae-ft"],
  ["kl16", "MAR's KL-16 in the original's names", "kl16"],
] as const)("golden autoencoder %s: %s", (name, _, presetName) => {
  let autoencoder: Autoencoder;
  beforeAll(async () => {
    autoencoder = await autoencoderOf(name, undefined);
  }, 60_000);
  afterAll(() => autoencoder.release());

  it("is recognised by its shapes", () => {
    expect(autoencoder.config).toEqual(autoencoderPreset(presetName));
  });

  it("encodes like the original", () => checkEncoding(autoencoder, name), 60_000);

  it("decodes like the original", () => checkDecoding(autoencoder, name), 60_000);
});

describe("golden autoencoder attentive: attention in both halves, none in the middle, a shift, no quant convolutions", () => {
  it("encodes and decodes like diffusers", async () => {
    const autoencoder = await autoencoderOf("attentive", diffusersAutoencoderConfig(settings.configs.attentive));
    await checkEncoding(autoencoder, "attentive");
    await checkDecoding(autoencoder, "attentive");
    await autoencoder.release();
  });
});

describe("golden autoencoder small: tiles of diffusers", () => {
  const config = diffusersAutoencoderConfig(settings.configs.small);
  let autoencoder: Autoencoder;
  beforeAll(async () => {
    autoencoder = await autoencoderOf("small", config);
  });
  afterAll(() => autoencoder.release());

  it("encodes whole tiles, shorter ones and slivers like diffusers", () =>
    checkEncoding(autoencoder, "small", { tiled: true }));

  it("decodes whole tiles, shorter ones and slivers like diffusers", () =>
    checkDecoding(autoencoder, "small", { tiled: true }));

  it("gives other numbers without tiles, the same ones where a single tile has everything to see", async () => {
    const latents = scaledLatents(stored("small.latents"), config);
    const whole = await autoencoder.decode(latents);
    expect(whole).not.toMatchGolden(stored("small.decoded"), { relative: 1e-2 });
    const one = new Values("float32", [1, 4, 8, 8], latents.data.slice(0, 256));
    const untiled: NDArray = await autoencoder.decode(one);
    expect(await autoencoder.decode(one, { tiled: true })).toEqual(untiled);
  });
});

it("stores a posterior whose spread is not the same everywhere", () => {
  for (const name of ["sd", "kl16", "attentive", "small"]) {
    const { std } = posteriorOf(stored(`${name}.moments`));
    expect(Math.max(...std.data) / Math.min(...std.data), name).toBeGreaterThan(2);
  }
});
