/** Names of weights come out as the model's own, whatever tools wrapped around it, and nothing is lost or mixed silently. */
import { describe, expect, test } from "vitest";
import { float32, int32, type NDArray, zeros } from "../../src/array/ndarray.ts";
import type { StoredTensor } from "../../src/formats/weight-file.ts";
import { autoencoderSpecs } from "../../src/models/autoencoder/autoencoder.ts";
import { autoencoderPresets } from "../../src/models/autoencoder/config.ts";
import { inceptionFileSpecs, nvidiaNames } from "../../src/models/inception/weights.ts";
import { preset } from "../../src/models/presets.ts";
import { cleanedWeights } from "../../src/weights/clean-names.ts";
import { diffusersPlaces } from "../../src/weights/diffusers-weights.ts";
import { weightSpecs } from "../../src/weights/weight-specs.ts";
import { tinyModel } from "../training/tiny.ts";

const own = weightSpecs(tinyModel()).map(({ name }) => name);

function stored(names: readonly string[], array: NDArray = zeros("float32", [2])): [string, StoredTensor][] {
  return names.map((name) => [name, { name, dtype: array.dtype, shape: array.shape, read: async () => array }]);
}

const cleaned = (tensors: readonly (readonly [string, StoredTensor])[], wanted?: string) =>
  cleanedWeights(new Map(tensors), "file", { wanted });

const prefixed = (prefix: string) => stored(own.map((name) => prefix + name));

describe("one model", () => {
  test("under its own names stays as it is, and nothing is noted", () => {
    const file = cleaned(stored(own));
    expect([...file.tensors.keys()]).toEqual(own);
    expect(file).toMatchObject({ notes: [] });
    expect(file.weights).toBeUndefined();
  });

  test.each([
    "module.",
    "_orig_mod.",
    "module._orig_mod.",
    "_orig_mod.module.module.",
    "_forward_module.model.",
    "model.",
    "net._orig_mod.",
    "denoiser.",
    "model.diffusion_model.",
    "model.module.diffusion_model._orig_mod.",
    "a.b.c.d.e.",
  ])("under %s", (prefix) => {
    const file = cleaned(prefixed(prefix));
    expect([...file.tensors.keys()]).toEqual(own);
    expect([...file.tensors].every(([name, tensor]) => tensor.name === name)).toBe(true);
    expect(file.notes).toHaveLength(1);
  });

  test.each([
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "module",
    "_forward_module",
  ])("with %s around some of its layers only, also twice", (wrapper) => {
    const some = own.map((name) => name.replace("blocks.1.", `${wrapper}.blocks.1.${wrapper}.`));
    const file = cleaned(stored(some));
    expect([...file.tensors.keys()]).toEqual(own);
    const count = own.filter((name) => name.startsWith("blocks.1.")).length;
    expect(file.notes).toEqual([`file: removed from names of weights: "${wrapper}." (${count})`]);
  });

  test("beside counters, which are named and left out, but not a weight of one number", () => {
    const scalar = int32([9], []);
    const one = stored(["final_layer.linear.bias"], float32([1]));
    const names = own.filter((name) => name !== "final_layer.linear.bias");
    const file = cleaned([
      ...stored(["n_averaged", "step"], scalar),
      ...stored(["decay"], float32([0.5], [1])),
      ...stored(names.map((name) => `module.${name}`)),
      ...one,
    ]);
    expect([...file.tensors.keys()].sort()).toEqual([...own].sort());
    expect(file.notes).toEqual([
      `file: removed from names of weights: "module." (${names.length}); left out: n_averaged, step, decay`,
    ]);
  });

  test("a tensor that is no counter is not left out: whoever checks the weights names it", () => {
    expect(cleaned([...stored(own), ...stored(["extra.weight"])]).tensors.has("extra.weight")).toBe(true);
  });
});

describe("a prefix goes before every kind of model that is read", () => {
  const kinds: Readonly<Record<string, readonly string[]>> = {
    MAR: weightSpecs(preset("MAR-Digits")).map(({ name }) => name),
    SiT: weightSpecs(preset("SiT-Digits")).map(({ name }) => name),
    "diffusers' DiT": [...diffusersPlaces(2).values()].flatMap((place) =>
      place.kind === "computed" ? [] : "names" in place ? place.names : [place.name],
    ),
    autoencoder: autoencoderSpecs(autoencoderPresets.get("sd-vae-ft")!).map(({ name }) => name),
    "Inception-v3": inceptionFileSpecs().map(({ name }) => name),
    "NVIDIA's Inception-v3": [...nvidiaNames().values()],
  };

  test.each(Object.keys(kinds))("%s", (kind) => {
    const names = kinds[kind]!.map((name) => `module.network.${name}`);
    expect([...cleaned(stored(names)).tensors.keys()]).toEqual(kinds[kind]);
  });

  test("latent diffusion's file gives its diffusion model, or its autoencoder where that is needed", () => {
    const file = new Map([
      ...stored(own.map((name) => `model.diffusion_model.${name}`)),
      ...stored(kinds.autoencoder!.map((name) => `first_stage_model.${name}`)),
    ]);
    expect([...cleanedWeights(file, "file").tensors.keys()]).toEqual(own);
    const autoencoder = cleanedWeights(file, "file", { part: "autoencoder" });
    expect(autoencoder.tensors.has("first_stage_model.decoder.conv_in.weight")).toBe(true);
  });
});

describe("several models in one file", () => {
  const two = (averaged: string, raw: string) => [...prefixed(raw), ...prefixed(averaged), ...stored(["initted"])];

  test.each([
    ["ema_model.", "online_model."],
    ["model_ema.", "model."],
    ["net_ema.", "net."],
    ["averaged.module.", "model._orig_mod."],
    ["ema.", ""],
  ])("%s is the average of %s", (averaged, raw) => {
    for (const wanted of [undefined, "ema", "model"]) {
      const { tensors, weights } = cleaned(two(averaged, raw), wanted);
      expect(weights, wanted).toBe(wanted === "model" ? "raw" : "ema");
      if (wanted !== "model" || raw !== "") expect([...tensors.keys()]).toEqual(own);
      else expect([...tensors.keys()].filter((name) => name.startsWith("ema."))).toEqual([]);
    }
  });

  test("a trainer that holds its model and ema-pytorch's average gives the average, the model, or what is named", () => {
    const file = (...roots: string[]) => [...roots.flatMap(prefixed), ...stored(["ema.initted", "ema.step"])];
    for (const model of ["model.", "net.", ""]) {
      const whole = file(model, "ema.online_model.", "ema.ema_model.");
      const removed = (wanted?: string) => cleaned(whole, wanted).notes.join();
      for (const wanted of [undefined, "ema", "ema.ema_model"])
        expect(removed(wanted)).toContain(`removed from names of weights: "ema.ema_model." (${own.length})`);
      expect(removed("ema.online_model")).toContain(`weights: "ema.online_model." (${own.length})`);
      if (model !== "") expect(removed("model")).toContain(`removed from names of weights: "${model}" (${own.length})`);
      expect(cleaned(whole, "model").weights).toBe("raw");
      expect(cleaned(whole).weights).toBe("ema");
    }
    const alone = cleaned(file("ema.online_model.", "ema.ema_model."), "model");
    expect([alone.weights, alone.notes.join()]).toEqual([
      "raw",
      expect.stringContaining('weights: "ema.online_model."'),
    ]);
  });

  test("what is left out is named with its number of tensors", () => {
    expect(cleaned(two("ema_model.", "online_model.")).notes).toEqual([
      `file: removed from names of weights: "ema_model." (${own.length}); left out: "online_model." (${own.length}), initted`,
    ]);
  });

  test("of which none is an average are listed, and so are two averages", () => {
    expect(() => cleaned([...prefixed("student."), ...prefixed("teacher.")])).toThrow(
      'file holds several models, by the prefixes of their names: "student.", "teacher."; choose one, as with `weights` student',
    );
    expect(() => cleaned([...prefixed("ema_0."), ...prefixed("ema_1.")])).toThrow('"ema_0.", "ema_1."');
    expect(() => cleaned([...prefixed("student."), ...prefixed("teacher.")], "ema")).toThrow("several models");
    expect([...cleaned([...prefixed("student."), ...prefixed("teacher.")], "teacher").tensors.keys()]).toEqual(own);
  });
});

test("two tensors that get one name are refused by their names", () => {
  expect(() => cleaned(stored(["module.a.weight", "a.module.weight"]))).toThrow(
    "file: module.a.weight and a.module.weight are both a.weight without the names of wrappers; save one of the two alone",
  );
});

test("names of a file without a model that we know keep their prefix", () => {
  expect([...cleaned(stored(["model.a.weight", "model.b.weight"])).tensors.keys()]).toEqual([
    "model.a.weight",
    "model.b.weight",
  ]);
});
