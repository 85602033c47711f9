/** A DiT as a folder of diffusers: its names and shapes, and the same weights back. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { float32, type NDArray } from "../../src/array/ndarray.ts";
import { processOf } from "../../src/diffusion/process.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import type { DiTConfig } from "../../src/models/dit/config.ts";
import { preset } from "../../src/models/presets.ts";
import { type Model, modelOf } from "../../src/models/registry.ts";
import { chooseModel } from "../../src/weights/choose-model.ts";
import {
  modelFromDiffusers,
  modelToDiffusers,
  processFromDiffusers,
  processToDiffusers,
  samplingNotes,
} from "../../src/weights/diffusers-config.ts";
import { diffusersFolder } from "../../src/weights/diffusers-folder.ts";
import { requireFixedPositions } from "../../src/weights/diffusers-weights.ts";
import { loadModel, type ModelFacts, openModel, weightSpecs } from "../../src/weights/model-file.ts";
import { openWeights } from "../../src/weights/open-weights.ts";
import { writeFolder } from "../../src/weights/output-files.ts";
import { awakeWeights } from "../training/tiny.ts";
import { plantShapes } from "./planted.ts";

const folder = mkdtempSync(join(tmpdir(), "diffusers-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...parts: string[]) => join(folder, ...parts);

const sizes = { family: "dit", inputSize: 8, patchSize: 2, inChannels: 4, hiddenSize: 16, numHeads: 2, numClasses: 10 };
const model = modelOf({ ...sizes, depth: 2 });
const positions = weightSpecs(model).find(({ name }) => name === "pos_embed")!.init as {
  value: () => NDArray<"float32">;
};
const weights = new Map([...awakeWeights(weightSpecs(model)), ["pos_embed", positions.value()] as const]);
const facts: ModelFacts = {
  ...{ weights: "ema", images: 77 },
  process: { kind: "gaussian", schedule: "squaredcos_cap_v2", steps: 500 },
  prunings: [{ parent: "ab".repeat(32), parentDepth: 4, kept: [0, 3], layerMap: [[0, 1]] }],
};

async function plant(name: string, values: ReadonlyMap<string, NDArray> = weights, of: Model = model): Promise<string> {
  const tensors = new Map(
    Array.from(values, ([key, array]) => [
      key,
      { name: key, dtype: array.dtype, shape: array.shape, read: async () => array },
    ]),
  );
  const parts = { model: of, facts, tensors, shardBytes: 5e9, prepared: <T>(all: Iterable<T>) => [...all] };
  await writeFolder(at(name), await diffusersFolder(parts, name));
  return at(name);
}

/** What `DiTTransformer2DModel(num_layers=1, …).state_dict()` of diffusers 0.42.1 lists for these sizes. */
const theirs: Readonly<Record<string, readonly number[]>> = {
  "pos_embed.proj.weight": [16, 4, 2, 2],
  "pos_embed.proj.bias": [16],
  "transformer_blocks.0.norm1.emb.timestep_embedder.linear_1.weight": [16, 256],
  "transformer_blocks.0.norm1.emb.timestep_embedder.linear_1.bias": [16],
  "transformer_blocks.0.norm1.emb.timestep_embedder.linear_2.weight": [16, 16],
  "transformer_blocks.0.norm1.emb.timestep_embedder.linear_2.bias": [16],
  "transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight": [11, 16],
  "transformer_blocks.0.norm1.linear.weight": [96, 16],
  "transformer_blocks.0.norm1.linear.bias": [96],
  "transformer_blocks.0.attn1.to_q.weight": [16, 16],
  "transformer_blocks.0.attn1.to_q.bias": [16],
  "transformer_blocks.0.attn1.to_k.weight": [16, 16],
  "transformer_blocks.0.attn1.to_k.bias": [16],
  "transformer_blocks.0.attn1.to_v.weight": [16, 16],
  "transformer_blocks.0.attn1.to_v.bias": [16],
  "transformer_blocks.0.attn1.to_out.0.weight": [16, 16],
  "transformer_blocks.0.attn1.to_out.0.bias": [16],
  "transformer_blocks.0.ff.net.0.proj.weight": [64, 16],
  "transformer_blocks.0.ff.net.0.proj.bias": [64],
  "transformer_blocks.0.ff.net.2.weight": [16, 64],
  "transformer_blocks.0.ff.net.2.bias": [16],
  "proj_out_1.weight": [32, 16],
  "proj_out_1.bias": [32],
  "proj_out_2.weight": [32, 16],
  "proj_out_2.bias": [32],
};

describe("a folder of diffusers", () => {
  test("has the names and shapes of DiTTransformer2DModel", async () => {
    const one = modelOf({ ...sizes, depth: 1 });
    const values = new Map([...weights].filter(([name]) => !name.startsWith("blocks.1.")));
    const { tensors } = await openWeights(join(await plant("one", values, one), "transformer"));
    expect(Object.fromEntries(Array.from(tensors.values(), ({ name, shape }) => [name, shape]))).toEqual(theirs);
  });

  test("gives back the same weights, configuration, process and history", async () => {
    const path = await plant("whole");
    const file = await loadModel(path);
    expect(new Map([...file.tensors].sort())).toEqual(new Map([...weights].sort()));
    expect(file.model.config).toEqual(model.config);
    const { weights: kind, images, prunings, process } = file;
    expect({ weights: kind, images, prunings, process }).toEqual(facts);
    const inside = join(path, "transformer", "diffusion_pytorch_model.safetensors");
    expect((await loadModel(inside)).tensors.size).toBe(weights.size);
  });

  test("of another origin: configuration and process come from its JSON files", async () => {
    const path = await plant("foreign");
    await dropMetadata(join(path, "transformer", "diffusion_pytorch_model.safetensors"));
    const file = await openModel(path, undefined, { mappedFromBytes: 0 });
    expect(file).toMatchObject({ weights: "raw", images: 0, prunings: [], process: facts.process });
    expect(file.model.config).toEqual(model.config);
    const mapped = Array.from(file.tensors).flatMap(([name, weight]) => ("location" in weight ? [name] : []));
    expect(mapped).toContain("blocks.1.mlp.fc1.weight");
    expect(mapped).not.toContain("blocks.1.attn.qkv.weight"); // three pieces: read and joined
    expect((await loadModel(path)).tensors.get("blocks.1.attn.qkv.weight")).toEqual(
      weights.get("blocks.1.attn.qkv.weight"),
    );
  });

  test("whose blocks have different embedders is another model", async () => {
    const path = await plant("untied");
    const file = join(path, "transformer", "diffusion_pytorch_model.safetensors");
    await dropMetadata(file, (name, data) => {
      if (name.startsWith("transformer_blocks.1.") && name.endsWith("linear_2.bias")) data[3]! += 1e-3;
    });
    await expect(openModel(path)).rejects.toThrow(
      /transformer_blocks\.1\.\S+linear_2\.bias differs from transformer_blocks\.0\.\S+; a DiT has one embedder/,
    );
  });

  test("without its config.json: positions are not stored, so the size of images is asked for", async () => {
    const xl = preset("DiT-XL/2");
    const { numHeads } = xl.config as DiTConfig;
    expect(numHeads).toBe(16);
    const shapes = theirShapes(xl);
    const opened = await openWeights(plantShapes(at("bare.safetensors"), shapes));
    expect(() => chooseModel(opened)).toThrow(
      /could be DiT-XL\/2 or DiT-XL\/2-512; name it with `model` DiT-XL\/2 or `model` DiT-XL\/2-512$/,
    );
    expect(chooseModel(opened, xl).tensors.size).toBe(weightSpecs(xl).length);
  });
});

/** The tensors of a DiT of any size under diffusers' names, by the list above. */
function theirShapes({ config }: Model) {
  const { hiddenSize: d, depth, patchSize, inChannels, numClasses } = config as DiTConfig;
  const sizeOf: Readonly<Record<number, number>> = { 16: d, 64: 4 * d, 96: 6 * d, 11: numClasses + 1 };
  return Object.entries(theirs).flatMap(([name, shape]) => {
    const isOut = name.startsWith("proj_out_2");
    const isFirst = (axis: number) => axis === 0;
    const real = shape.map((size, axis) => {
      if (size === 32) return isOut ? patchSize ** 2 * 2 * inChannels : 2 * d;
      return isFirst(axis) || size === 16 || size === 64 ? (sizeOf[size] ?? size) : size;
    });
    if (!name.startsWith("transformer_blocks.")) return [{ name, shape: real }];
    return Array.from({ length: depth }, (_, i) => ({ name: name.replace(".0.", `.${i}.`), shape: real }));
  });
}

async function dropMetadata(
  file: string,
  change: (name: string, data: Float32Array) => void = () => {},
): Promise<void> {
  const { tensors } = await openWeights(file);
  const values = new Map<string, NDArray>();
  for (const [name, tensor] of tensors) {
    const array = (await tensor.read()) as NDArray<"float32">;
    change(name, array.data);
    values.set(name, array);
  }
  writeFileSync(file, Buffer.concat([...encodeSafetensors(values, { format: "pt" })]));
}

describe("configurations of diffusers", () => {
  const config = (change: object = {}) => ({
    json: { ...modelToDiffusers(model, "x"), ...change },
    where: "config.json",
  });

  test("the published DiT-XL/2, which calls its class by an older name, is the preset", () => {
    const published = {
      ...{ _class_name: "Transformer2DModel", activation_fn: "gelu-approximate", attention_bias: true },
      ...{ attention_head_dim: 72, cross_attention_dim: null, dropout: 0.0, in_channels: 4, norm_num_groups: 32 },
      ...{ norm_elementwise_affine: false, norm_type: "ada_norm_zero", num_attention_heads: 16, num_layers: 28 },
      ...{ num_embeds_ada_norm: 1000, num_vector_embeds: null, only_cross_attention: false, out_channels: 8 },
      ...{ patch_size: 2, sample_size: 64, upcast_attention: false, use_linear_projection: false },
    };
    expect(modelFromDiffusers({ json: published, where: "x" })).toEqual(preset("DiT-XL/2-512"));
  });

  test.each([
    [{ _class_name: "UNet2DModel" }, /config\.json: expected _class_name DiTTransformer2DModel, found "UNet2DModel"/],
    [{ activation_fn: "geglu" }, /activation_fn is "geglu"; a DiT needs "gelu-approximate"/],
    [{ cross_attention_dim: 768 }, /cross_attention_dim is 768; a DiT needs null/],
    [{ out_channels: 5 }, /out_channels is 5; a DiT needs once or twice in_channels, 4/],
    [{ num_layers: "many" }, /depth: /],
    [{ patch_size: 3 }, /multiple of patchSize/],
  ])("%j is refused", (change, message) => {
    expect(() => modelFromDiffusers(config(change))).toThrow(message);
  });

  test("models that diffusers has no class for are refused", () => {
    const convert = (change: object) => () => modelToDiffusers(modelOf({ ...model.config, ...change }), "m");
    expect(convert({ family: "sit" })).toThrow(
      "m: diffusers has no sit, only a DiT; convert to pt or safetensors instead",
    );
    expect(convert({ mlpRatio: 2 })).toThrow(/mlpRatio of 4, this model one of 2/);
    expect(convert({ depth: 0 })).toThrow(/at least one block/);
  });

  test("schedules survive, and others are refused", () => {
    for (const process of [
      { kind: "gaussian", schedule: "linear", steps: 1000 },
      { kind: "gaussian", schedule: "linear", steps: 250 },
      { kind: "gaussian", schedule: "squaredcos_cap_v2", steps: 1000 },
    ] as const) {
      expect(processFromDiffusers({ json: processToDiffusers(process, "x"), where: "x" })).toEqual(process);
    }
    const read = (json: object) => () => processFromDiffusers({ json, where: "s.json" });
    expect(read({ beta_schedule: "scaled_linear" })).toThrow(/s\.json .*schedule: /);
    expect(read({ beta_start: 0.00085 })).toThrow(/s\.json: beta_start is 0\.00085, expected 0\.0001/);
    expect(read({ prediction_type: "v_prediction" })).toThrow(/prediction_type is "v_prediction", expected epsilon/);
  });

  const scheduler = (change: object) => ({
    json: { ...processToDiffusers(processOf("gaussian"), "x"), ...change },
    where: "s.json",
  });

  test.each<readonly [object, string]>([
    [{ _class_name: "FlowMatchEulerDiscreteScheduler", shift: 3 }, '_class_name is "FlowMatchEulerDiscreteScheduler"'],
    [{ _class_name: "EDMEulerScheduler" }, "_class_name"],
    [{ _class_name: "ScoreSdeVeScheduler" }, "_class_name"],
    [{ rescale_betas_zero_snr: true }, "rescale_betas_zero_snr is true, expected false"],
    [{ prediction_type: "v_prediction" }, "prediction_type"],
    [{ prediction_type: "sample" }, "prediction_type"],
    [{ trained_betas: [0.1, 0.2] }, "trained_betas is [0.1,0.2]"],
    [{ beta_schedule: "scaled_linear" }, "schedule"],
    [{ beta_schedule: "sigmoid" }, "schedule"],
    [{ beta_end: 0.012 }, "beta_end is 0.012, expected 0.02"],
    [{ num_train_timesteps: 500 }, "beta_start is 0.0001"], // of 500 steps these betas are another process
    [{ timestep_type: "continuous" }, "timestep_type"],
    [{ use_flow_sigmas: true, flow_shift: 3 }, "use_flow_sigmas"],
    [{ flow_shift: 3 }, "flow_shift is 3"],
    [{ snr_shift_scale: 3 }, "snr_shift_scale is 3"],
    [{ something_new: "x" }, 'something_new is "x"'],
  ])("a scheduler with %j is refused by name", (change, message) => {
    expect(() => processFromDiffusers(scheduler(change))).toThrow(message);
  });

  test("silence is diffusers' defaults, and fields of sampling are noted", () => {
    expect(processFromDiffusers({ json: {}, where: "x" })).toEqual(processOf("gaussian"));
    expect(() => processFromDiffusers({ json: { num_train_timesteps: 250 }, where: "x" })).toThrow("beta_start");
    for (const _class_name of ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "DDPMScheduler"]) {
      expect(processFromDiffusers(scheduler({ _class_name, unknown: false }))).toEqual(processOf("gaussian"));
    }
    expect(samplingNotes(scheduler({}))).toEqual([]);
    const sampling = { clip_sample: true, thresholding: true, timestep_spacing: "trailing", steps_offset: 1 };
    expect(processFromDiffusers(scheduler(sampling))).toEqual(processOf("gaussian"));
    expect(samplingNotes(scheduler(sampling))).toEqual([
      's.json says how diffusers samples (clip_sample true, thresholding true, timestep_spacing "trailing", ' +
        "steps_offset 1), which is for the options to say here",
    ]);
  });

  test("the scheduler that is written names its spacing of timesteps", () => {
    expect(processToDiffusers(processOf("gaussian"), "x")).toMatchObject({ timestep_spacing: "leading" });
  });

  test("positions that were trained cannot be converted", async () => {
    const moved = float32(positions.value().data.slice(), [1, 16, 16]);
    const check = () =>
      requireFixedPositions(
        { name: "pos_embed", dtype: "float32", shape: moved.shape, read: async () => moved },
        model.config as DiTConfig,
        "m",
      );
    await expect(check()).resolves.toBeUndefined();
    moved.data[5] = 7;
    await expect(check()).rejects.toThrow(
      /m: pos_embed is not the fixed embedding of positions \(element 5 is 7, not /,
    );
  });

  test("the index names the parts of the pipeline", async () => {
    const index = JSON.parse(readFileSync(join(await plant("index"), "model_index.json"), "utf8"));
    expect(index).toMatchObject({
      _class_name: "DiTPipeline",
      scheduler: ["diffusers", "DDIMScheduler"],
      transformer: ["diffusers", "DiTTransformer2DModel"],
      vae: [null, null],
    });
  });
});
