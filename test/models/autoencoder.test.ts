import { describe, expect, it } from "vitest";
import { sizeOf } from "../../src/array/ndarray.ts";
import { input } from "../../src/graph/build.ts";
import { autoencoderSpecs, decoder, encoder } from "../../src/models/autoencoder/autoencoder.ts";
import {
  autoencoderConfigSchema,
  autoencoderPreset,
  diffusersAutoencoderConfig,
} from "../../src/models/autoencoder/config.ts";
import { autoencoderNames, type NamedShape, namesOf } from "../../src/models/autoencoder/names.ts";
import { Params } from "../../src/nn/params.ts";
import { settings } from "../golden/autoencoder-fixture.ts";

const sd = autoencoderPreset("sd-vae-ft");
const sdSpecs = autoencoderSpecs(sd);
const kl16 = autoencoderPreset("kl16");

/** `vae/config.json` as published with Stable Diffusion's fine-tuned autoencoders. */
const published = {
  ...settings.configs.sd,
  _class_name: "AutoencoderKL",
  _diffusers_version: "0.4.2",
  sample_size: 256,
};

const shapesOf = (specs: readonly NamedShape[]) => Object.fromEntries(specs.map(({ name, shape }) => [name, shape]));
const listed = (shapes: Readonly<Record<string, readonly number[]>>): NamedShape[] =>
  Object.entries(shapes).map(([name, shape]) => ({ name, shape }));
/** Our names → the file's names. */
const renamed = (found: Iterable<NamedShape>, config = sd, specs: readonly NamedShape[] = sdSpecs) =>
  Object.fromEntries(Array.from(autoencoderNames(found, specs, config).weights, ([ours, { name }]) => [ours, name]));

describe("the autoencoder", () => {
  it("has the names and shapes of diffusers' state_dict", () => {
    expect(shapesOf(sdSpecs)).toEqual(settings.weights.sd);
    expect(sdSpecs.reduce((total, { shape }) => total + sizeOf(shape), 0)).toBe(83_653_863);
    const attentive = diffusersAutoencoderConfig(settings.configs.attentive);
    expect(shapesOf(autoencoderSpecs(attentive))).toEqual(settings.weights.attentive);
  });

  it.each([
    [sd, 8, 4],
    [kl16, 16, 16],
  ])("makes an image of any size an f-th as large, and back", (config, f, z) => {
    const moments = encoder(new Params(), config, input("x", [2, 3, 3 * f, 5 * f]));
    expect(moments.shape).toEqual([2, 2 * z, 3, 5]);
    expect(decoder(new Params(), config, input("z", [2, z, 3, 5])).shape).toEqual([2, 3, 3 * f, 5 * f]);
  });
});

describe("configurations", () => {
  it("reads that of diffusers", () => {
    expect(diffusersAutoencoderConfig(published)).toEqual(sd);
    const types = {
      block_out_channels: kl16.blockOutChannels,
      down_block_types: [...new Array<string>(4).fill("DownEncoderBlock2D"), "AttnDownEncoderBlock2D"],
      up_block_types: new Array<string>(5).fill("UpDecoderBlock2D"),
    };
    const ours = diffusersAutoencoderConfig({ ...published, ...types, latent_channels: 16, scaling_factor: 0.2325 });
    expect(ours).toEqual(kl16);
  });

  it("counts the decoder's blocks from the lowest level up", () => {
    const up_block_types = ["AttnUpDecoderBlock2D", ...new Array<string>(3).fill("UpDecoderBlock2D")];
    expect(diffusersAutoencoderConfig({ ...published, up_block_types }).decoderAttention).toEqual([3]);
  });

  it("takes diffusers' defaults for what is left out, and null for no shift", () => {
    const config = diffusersAutoencoderConfig({ shift_factor: null, latents_mean: null });
    expect(config).toMatchObject({ latentChannels: 4, blockOutChannels: [64], scalingFactor: 0.18215, shiftFactor: 0 });
    expect(config).toMatchObject({ layersPerBlock: 1, normNumGroups: 32, sampleSize: 32, middleAttention: true });
  });

  it.each([
    [
      { down_block_types: ["DownEncoderBlock2D", "DCDownBlock2D"] },
      /down_block_types\.1: expects .* found "DCDownBlock2D"/,
    ],
    [{ up_block_types: ["UpBlock"] }, /up_block_types\.0: expects .* found "UpBlock"/],
    [{ _class_name: "AutoencoderTiny" }, /_class_name: expects AutoencoderKL/],
    [{ act_fn: "relu" }, /act_fn: expects silu/],
    [{ latents_std: [1, 2, 3, 4] }, /latents_std: is not known/],
    [{ spatial_norm_dim: 3 }, /spatial_norm_dim/],
    [{ up_block_types: ["UpDecoderBlock2D"] }, /up_block_types lists 1 blocks, block_out_channels lists 4/],
    [{ norm_num_groups: 48 }, /multiple of normNumGroups/],
    [{ scaling_factor: 0 }, /scalingFactor/],
    [{ block_out_channels: "128" }, /block_out_channels/],
  ])("refuses %j by name", (change, message) => {
    const read = () => diffusersAutoencoderConfig({ ...published, ...change }, "vae/config.json");
    expect(read).toThrow(message);
    expect(read).toThrow(/^vae\/config\.json: /);
  });

  it("refuses unknown fields and levels that are not there in its own form", () => {
    expect(() => autoencoderConfigSchema.parse({ ...sd, tiles: 3 })).toThrow(/tiles/);
    expect(() => autoencoderConfigSchema.parse({ ...sd, decoderAttention: [4] })).toThrow(/one of the levels/);
    expect(() => autoencoderPreset("kl-f8")).toThrow("unknown autoencoder kl-f8; expected one of sd-vae-ft, kl16");
  });
});

describe("names of weights", () => {
  const originals = Object.entries(settings.sd_ldm_names);

  it("finds the original's names as diffusers' own converter does", () => {
    expect(originals).toHaveLength(sdSpecs.length);
    const found = autoencoderNames(
      originals.map(([name, [shape]]) => ({ name, shape })),
      sdSpecs,
      sd,
    );
    const ours = Array.from(found.weights, ([name, theirs]) => [name, theirs.name]);
    expect(Object.fromEntries(ours)).toEqual(
      Object.fromEntries(originals.map(([name, [, diffusers]]) => [diffusers, name])),
    );
    expect(found.others).toEqual([]);
  });

  it("reads the attention's 1 × 1 convolutions as matrices, and no other ones", () => {
    const found = originals.map(([name, [shape]]) => ({ name, shape }));
    const { weights } = autoencoderNames(found, sdSpecs, sd);
    for (const { name, shape } of sdSpecs) expect(weights.get(name)!.shape, name).toEqual(shape);
    expect(
      found.filter(({ name }) => weights.get("encoder.mid_block.attentions.0.to_q.weight")!.name === name),
    ).toEqual([{ name: "encoder.mid.attn_1.q.weight", shape: [512, 512, 1, 1] }]);
    expect(weights.get("quant_conv.weight")!.shape).toEqual([8, 8, 1, 1]);
  });

  it("finds every weight of MAR's KL-16", () => {
    const specs = autoencoderSpecs(kl16);
    const { weights } = autoencoderNames(listed(settings.weights.kl16), specs, kl16);
    const sorted = (shapes: Record<string, readonly number[]>) => Object.entries(shapes).sort();
    expect(sorted(Object.fromEntries(Array.from(weights, ([name, { shape }]) => [name, shape])))).toEqual(
      sorted(shapesOf(specs)),
    );
  });

  it("knows diffusers' names of attention from before 0.15", () => {
    const old = (name: string) =>
      name.replace("to_q", "query").replace("to_k", "key").replace("to_v", "value").replace("to_out.0", "proj_attn");
    const found = sdSpecs.map(({ name, shape }) => ({ name: old(name), shape }));
    expect(found.filter(({ name }) => /query|key|value|proj_attn/.test(name))).toHaveLength(16);
    expect(renamed(found)).toEqual(Object.fromEntries(sdSpecs.map(({ name }) => [name, old(name)])));
  });

  it("looks below first_stage_model, and counts what belongs to other models or to training", () => {
    const inside = originals.map(([name, [shape]]) => ({ name: `first_stage_model.${name}`, shape }));
    const beside = ["first_stage_model.loss.logvar", "model.diffusion_model.out.2.bias", "model.a", "betas"];
    const found = autoencoderNames([...inside, ...beside.map((name) => ({ name, shape: [1] }))], sdSpecs, sd);
    expect([...found.weights.keys()].sort()).toEqual(sdSpecs.map(({ name }) => name).sort());
    expect(found.others).toEqual(["loss (1)", "model (2)", "betas (1)"]);
  });

  it("leaves unknown names and second copies for the check to list", () => {
    const twice = [
      { name: "encoder.mid.attn_1.q.bias", shape: [512] },
      { name: "encoder.mid_block.attentions.0.to_q.bias", shape: [512] },
      { name: "encoder.mid_block.attentions.0.query.bias", shape: [512] },
      { name: "lossless", shape: [1] },
    ];
    expect(renamed(twice)).toEqual({
      "encoder.mid_block.attentions.0.to_q.bias": "encoder.mid.attn_1.q.bias",
      [`${twice[1]!.name} (a second ${twice[1]!.name})`]: twice[1]!.name,
      [`${twice[2]!.name} (a second ${twice[1]!.name})`]: twice[2]!.name,
      lossless: "lossless",
    });
  });

  it("gives no name to two weights", () => {
    for (const config of [sd, kl16, diffusersAutoencoderConfig(settings.configs.attentive)]) {
      const names = autoencoderSpecs(config).flatMap(({ name }) => namesOf(name, config));
      expect(new Set(names).size).toBe(names.length);
    }
  });
});
