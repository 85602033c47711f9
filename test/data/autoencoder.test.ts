import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { float32, type NDArray, sizeOf, NDArray as Values } from "../../src/array/ndarray.ts";
import { normals, uniforms } from "../../src/array/random.ts";
import { Autoencoder, type LoadedAutoencoder, loadAutoencoder } from "../../src/data/autoencoder/autoencoder.ts";
import { drawLatents, posteriorOf, scaledLatents, unscaledLatents } from "../../src/data/autoencoder/posterior.ts";
import { inTiles } from "../../src/data/autoencoder/tiles.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { float32ToFloat16 } from "../../src/formats/float16.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import type { StoredTensor } from "../../src/formats/weight-file.ts";
import { autoencoderSpecs } from "../../src/models/autoencoder/autoencoder.ts";
import { autoencoderPreset, diffusersAutoencoderConfig } from "../../src/models/autoencoder/config.ts";
import { namesOf } from "../../src/models/autoencoder/names.ts";
import { countedEngine } from "../engine/counted-engine.ts";
import { fileOf, formulaWeight, readAutoencoder, settings } from "../golden/autoencoder-fixture.ts";

const config = diffusersAutoencoderConfig(settings.configs.small);
const specs = autoencoderSpecs(config);
const shapes = Object.fromEntries(specs.map(({ name, shape }) => [name, shape]));
const random = (purpose: string, shape: readonly number[]) =>
  float32(
    uniforms({ seed: 3, purpose, step: 0, index: 0 }, sizeOf(shape)).map((u) => 2 * u - 1),
    shape,
  );

let loaded: LoadedAutoencoder;
beforeAll(async () => {
  loaded = await readAutoencoder(fileOf(shapes), config, "small");
});

/** The small autoencoder's file with other names; `reshaped` makes 1 × 1 convolutions of the attention's matrices. */
function fileNamed(nameOf: (ours: string) => string, reshaped = false): Map<string, StoredTensor> {
  const entries = specs.map(({ name, shape }): [string, StoredTensor] => {
    const stored = reshaped && shape.length === 2 ? [...shape, 1, 1] : shape;
    const read = async () => formulaWeight(name, shape).reshape(stored);
    return [nameOf(name), { name: nameOf(name), dtype: "float32", shape: stored, read }];
  });
  return new Map(entries);
}

describe("reading an autoencoder", () => {
  it.each([
    ["diffusers' old names", (ours: string) => namesOf(ours, config)[1] ?? ours, false],
    ["the original's names", (ours: string) => namesOf(ours, config).at(-1)!, true],
    ["a whole model's file", (ours: string) => `first_stage_model.${namesOf(ours, config).at(-1)!}`, true],
  ])("gives the same weights from %s", async (_, nameOf, reshaped) => {
    const file = fileNamed(nameOf, reshaped);
    expect([...file.keys()]).not.toEqual(specs.map(({ name }) => name));
    const { weights } = await readAutoencoder(file, config, "other");
    expect(Object.fromEntries(weights)).toEqual(Object.fromEntries(loaded.weights));
  });

  it("lists missing, unexpected and misshaped weights together", async () => {
    const file = fileOf({ ...shapes, "encoder.extra": [2], "quant_conv.bias": [7] });
    file.delete("decoder.conv_out.bias");
    file.delete("encoder.conv_in.weight");
    const reading = readAutoencoder(file, config, "vae.safetensors");
    await expect(reading).rejects.toThrow(
      "vae.safetensors does not fit the model: missing (2): encoder.conv_in.weight [8,3,3,3], decoder.conv_out.bias [3]; " +
        "unexpected (1): encoder.extra [2]; misshaped (1): quant_conv.bias expects [8], file has [7]",
    );
  });

  it("refuses a file that holds a weight twice", async () => {
    const ours = "encoder.mid_block.attentions.0.to_k.bias";
    const other = "encoder.mid_block.attentions.0.key.bias";
    const reading = readAutoencoder(fileOf({ ...shapes, [other]: shapes[ours]! }), config, "vae");
    await expect(reading).rejects.toThrow(`unexpected (1): ${other} (a second ${ours}) [16]`);
  });

  it("says what else is in the file", async () => {
    const file = fileOf({ ...shapes, "loss.discriminator.main.0.weight": [4, 3, 4, 4], "loss.logvar": [] });
    expect((await readAutoencoder(file, config, "vae")).others).toEqual(["loss (2)"]);
  });

  it("asks for a configuration where no known shape fits", async () => {
    await expect(readAutoencoder(fileOf(shapes), undefined, "vae.pt")).rejects.toThrow(
      "vae.pt: its weights are not those of sd-vae-ft or kl16; give the folder with the config.json of it",
    );
  });

  it("never guesses from a part of the weights", async () => {
    const file = fileOf(settings.weights.sd);
    file.delete("decoder.conv_out.bias");
    await expect(readAutoencoder(file, undefined, "part")).rejects.toThrow(/not those of sd-vae-ft/);
    await expect(readAutoencoder(file, autoencoderPreset("sd-vae-ft"), "part")).rejects.toThrow(
      /missing \(1\): decoder/,
    );
  });
});

describe("autoencoders on disk", () => {
  const folder = mkdtempSync(join(tmpdir(), "autoencoder-"));
  const vae = join(folder, "vae");
  afterAll(() => rmSync(folder, { recursive: true }));
  beforeAll(() => {
    const halves = Array.from(loaded.weights, ([name, x]) => {
      return [name, new Values("float16", x.shape, float32ToFloat16(x.data))] as const;
    });
    const bytes = Buffer.concat([...encodeSafetensors(new Map<string, NDArray>(halves))]);
    mkdirSync(vae);
    writeFileSync(join(vae, "diffusion_pytorch_model.safetensors"), bytes);
    writeFileSync(
      join(vae, "config.json"),
      JSON.stringify({ _class_name: "AutoencoderKL", ...settings.configs.small }),
    );
    writeFileSync(join(folder, "alone.safetensors"), bytes);
  });

  it("are read from diffusers' folder with its configuration, half precision too", async () => {
    const found = await loadAutoencoder(vae);
    expect(found.config).toEqual(config);
    const name = "decoder.conv_out.weight";
    const [half, single] = [found.weights.get(name)!.data, loaded.weights.get(name)!.data];
    expect(half).not.toEqual(single);
    for (const [i, value] of half.entries()) expect(Math.abs(value - single[i]!)).toBeLessThan(1e-3);
  });

  it("are read from a single file with a given configuration", async () => {
    const path = join(folder, "alone.safetensors");
    expect((await loadAutoencoder(path, config)).weights.size).toBe(specs.length);
    await expect(loadAutoencoder(path)).rejects.toThrow(/give the folder with the config.json/);
  });
});

describe("encoding and decoding", () => {
  const engine = countedEngine(cpuEngine());
  const images = random("images", [11, 3, 16, 24]);
  let autoencoder: Autoencoder;
  beforeAll(() => {
    autoencoder = new Autoencoder(engine, loaded);
  });
  afterAll(() => autoencoder.release());

  it("gives an image the same bits in every batch", async () => {
    const all = await autoencoder.encode(images);
    expect(all.mean.shape).toEqual([11, 4, 4, 6]);
    const latents = scaledLatents(all.mean, config);
    const decoded = await autoencoder.decode(latents);
    expect(decoded.shape).toEqual([11, 3, 16, 24]);
    for (const [first, last] of [
      [0, 1],
      [3, 8],
      [10, 11],
    ] as const) {
      const some = await autoencoder.encode(images.rows(first, last));
      expect(some.mean.data).toEqual(all.mean.rows(first, last).data);
      expect(some.std.data).toEqual(all.std.rows(first, last).data);
      expect((await autoencoder.decode(latents.rows(first, last))).data).toEqual(decoded.rows(first, last).data);
    }
  });

  it("takes a scaled latent back to where it was", async () => {
    const shifted = { ...config, scalingFactor: 0.25, shiftFactor: 0.5 };
    const z = random("z", [2, 4, 4, 4]);
    const scaled = scaledLatents(z, shifted);
    expect(scaled.data[5]).toBeCloseTo((z.data[5]! - 0.5) * 0.25, 6);
    const plain = await autoencoder.decode(scaledLatents(z, config));
    const other = new Autoencoder(engine, { ...loaded, config: shifted });
    const found = await other.decode(scaled);
    for (const [i, value] of found.data.entries()) expect(value).toBeCloseTo(plain.data[i]!, 4);
    for (const [i, value] of unscaledLatents(scaled, shifted).data.entries()) expect(value).toBeCloseTo(z.data[i]!, 6);
    await other.release();
  });

  it("compiles a session for each size and keeps it", async () => {
    const fresh = new Autoencoder(engine, loaded);
    const before = engine.counters.programs;
    for (const side of [8, 12, 8, 16, 12, 8]) await fresh.encode(random("side", [1, 3, side, side]));
    expect(engine.counters.programs - before).toBe(3);
    await fresh.encode(random("side", [1, 3, 20, 20])); // the oldest, 16, goes
    await fresh.encode(random("side", [1, 3, 8, 8]));
    await fresh.encode(random("side", [1, 3, 16, 16]));
    expect(engine.counters.programs - before).toBe(5);
    await fresh.release();
  });

  it("keeps calls apart that overlap", async () => {
    const sides = [8, 12, 16, 20, 8];
    const found = await Promise.all(sides.map((side) => autoencoder.encode(random("overlap", [1, 3, side, side]))));
    for (const [i, side] of sides.entries()) {
      const alone = await autoencoder.encode(random("overlap", [1, 3, side, side]));
      expect(found[i]!.mean).toEqual(alone.mean);
    }
  });

  it("goes on after a call that failed", async () => {
    let failed = false;
    const compile: Engine["compile"] = async (...given) => {
      if (failed) return engine.compile(...given);
      failed = true;
      throw new Error("no memory");
    };
    const shaky = new Autoencoder({ ...engine, compile }, loaded);
    const [first, second] = await Promise.allSettled([shaky.encode(images), shaky.encode(images)]);
    expect(first).toMatchObject({ status: "rejected", reason: new Error("no memory") });
    expect(second).toMatchObject({ status: "fulfilled", value: await autoencoder.encode(images) });
    await shaky.release();
  });

  it.each([
    [[1, 1, 16, 16], "multiples of 4, got [1,1,16,16]"],
    [[1, 3, 16, 18], "multiples of 4, got [1,3,16,18]"],
    [[3, 16, 16], "got [3,16,16]"],
    [[0, 3, 16, 16], "one or more images"],
  ])("refuses to encode %j", async (shape, message) => {
    await expect(autoencoder.encode(random("bad", shape))).rejects.toThrow(message);
  });

  it.each([[[1, 3, 4, 4]], [[4, 4, 4]], [[0, 4, 4, 4]]])("refuses to decode %j", async (shape) => {
    await expect(autoencoder.decode(random("bad", shape))).rejects.toThrow(
      `the autoencoder decodes one or more latents [N, 4, H, W], got [${shape}]`,
    );
  });

  it("refuses tiles whose quarter is not a whole number of latents", async () => {
    const odd = new Autoencoder(engine, { ...loaded, config: { ...config, sampleSize: 24 } });
    await expect(odd.decode(random("z", [1, 4, 8, 8]), { tiled: true })).rejects.toThrow(
      "tiles overlap by a quarter: sampleSize 24 is no multiple of 16; compute untiled",
    );
  });
});

describe("the posterior", () => {
  const halfLog = (log: number) => Math.fround(Math.exp(log / 2));

  it("splits mean and logarithm of the variance row by row, and cuts the latter", () => {
    const moments = float32([1, 2, -100, 0, 3, 4, 100, Math.log(4)], [2, 2, 1, 2]);
    const { mean, std } = posteriorOf(moments);
    expect(mean).toEqual(float32([1, 2, 3, 4], [2, 1, 1, 2]));
    expect([...std.data.subarray(0, 3)]).toEqual([halfLog(-30), 1, halfLog(20)]);
    expect(std.data[3]).toBeCloseTo(2, 6);
  });

  const size = 40_000;
  const shape = [2, 4, 100, 100];
  const wide = {
    mean: float32(new Float32Array(2 * size).fill(3), shape),
    std: float32(
      Float32Array.from({ length: 2 * size }, (_, i) => (i < size ? 2 : 0)),
      shape,
    ),
  };
  const keyOf = (index: number, step = 0) => ({ seed: 1, purpose: "latent", step, index });

  it("draws normal numbers of its mean and spread, on the scale of models", () => {
    const z = drawLatents(wide, { ...config, scalingFactor: 0.5, shiftFactor: 1 }, [keyOf(0), keyOf(1)]);
    const first = z.data.subarray(0, size);
    const mean = first.reduce((a, b) => a + b, 0) / size;
    const variance = first.reduce((a, b) => a + (b - mean) ** 2, 0) / size;
    expect(Math.abs(mean - (3 - 1) * 0.5)).toBeLessThan(5 / Math.sqrt(size)); // five standard errors
    expect(Math.abs(variance - 1)).toBeLessThan(5 * Math.sqrt(2 / size));
    expect(z.data.subarray(size).every((value) => value === 1)).toBe(true); // without spread it is the mean
  });

  it("draws a row by its own key, whatever the batch", () => {
    const both = drawLatents(wide, config, [keyOf(4), keyOf(5)]);
    const one = { mean: wide.mean.rows(0, 1), std: wide.std.rows(0, 1) };
    const noise = normals(keyOf(4), 3);
    expect(drawLatents(one, config, [keyOf(4)]).data).toEqual(both.rows(0, 1).data);
    expect(drawLatents(one, config, [keyOf(4, 1)]).data).not.toEqual(both.rows(0, 1).data);
    for (const i of [0, 1, 2]) expect(both.data[i]).toBeCloseTo((3 + 2 * noise[i]!) * config.scalingFactor, 5);
    expect(() => drawLatents(wide, config, [keyOf(4)])).toThrow("2 posteriors need as many keys, got 1");
  });
});

describe("tiles", () => {
  /** Each pixel becomes 2 × 2. */
  const doubled = async (x: NDArray<"float32">) => {
    const [n, c, h, w] = x.shape as readonly [number, number, number, number];
    const data = Float32Array.from({ length: 4 * x.size }, (_, i) => {
      const [line, column] = [Math.floor(i / (2 * w)), i % (2 * w)];
      return x.data[Math.floor(line / 2) * w + (column >> 1)]!;
    });
    return float32(data, [n, c, 2 * h, 2 * w]);
  };

  it.each([
    [4, 4],
    [5, 7],
    [6, 8],
    [13, 10],
    [3, 17],
  ])("change nothing of a function that looks at single pixels: %i × %i", async (height, width) => {
    const x = random("x", [2, 3, height, width]);
    const [whole, tiled] = [await doubled(x), await inTiles(x, { input: 4, output: 8 }, doubled)];
    expect(tiled.shape).toEqual(whole.shape);
    for (const [i, value] of tiled.data.entries()) expect(value).toBeCloseTo(whole.data[i]!, 6);
  });

  it("fade from one into the next over a quarter", async () => {
    let count = 0;
    const numbered = async ({ shape }: NDArray<"float32">) => {
      return float32(new Float32Array(sizeOf(shape)).fill(count++), shape);
    };
    const y = await inTiles(random("x", [1, 1, 8, 20]), { input: 8, output: 8 }, numbered);
    expect([...y.data.subarray(0, 20)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0.5, 1, 1, 1, 1, 1, 1.5, 2, 2, 2, 2, 2, 2.5]);
  });
});
