/** What a training checkpoint's arguments say of its model and process is used, or the file is refused. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { presets } from "../../src/models/presets.ts";
import { type Model, modelOf } from "../../src/models/registry.ts";
import { chooseModel } from "../../src/weights/choose-model.ts";
import { openModel } from "../../src/weights/model-file.ts";
import { openWeights } from "../../src/weights/open-weights.ts";
import { weightSpecs } from "../../src/weights/weight-specs.ts";
import { run } from "../cli/program-run.ts";
import { awakeWeights } from "../training/tiny.ts";
import { plantShapes } from "./planted.ts";
import { type Argument, plantCheckpoint } from "./training-checkpoint.ts";

const folder = mkdtempSync(join(tmpdir(), "training-arguments-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

type Args = Readonly<Record<string, Argument>>;

/** A model of a preset's sizes, but for some of them; none of its weights is in memory. */
async function chosen(name: string, change: object, args: Args, given?: Model, entry = "args") {
  const model = modelOf({ ...presets.get(name)!, ...change });
  const opened = await openWeights(plantShapes(at("shapes.safetensors"), weightSpecs(model)));
  return chooseModel({ ...opened, otherEntries: { [entry]: args } }, given);
}

const sit = { model: "SiT-S/8", image_size: 256, num_classes: 1000 };
const saved = { path_type: "Linear", prediction: "velocity", loss_weight: null, sample_eps: null, train_eps: null };

describe("the process of a SiT", () => {
  test.each<readonly [Args, object]>([
    [{}, { path: "linear", prediction: "velocity", weighting: "none" }],
    [
      { path_type: "GVP", prediction: "noise" },
      { path: "gvp", prediction: "noise", weighting: "none" },
    ],
    [
      { path_type: "VP", prediction: "score", loss_weight: "likelihood", train_eps: 1e-4, sample_eps: 0.02 },
      { path: "vp", prediction: "score", weighting: "likelihood", trainEpsilon: 1e-4, sampleEpsilon: 0.02 },
    ],
    [
      { path_type: "Linear", prediction: "score", loss_weight: "velocity", sample_eps: 0.001 },
      { path: "linear", prediction: "score", weighting: "velocity", sampleEpsilon: 0.001 },
    ],
    // The original's create_transport passes over distances from the ends that such a velocity does not need.
    [
      { path_type: "GVP", train_eps: 0.1, sample_eps: 0.1 },
      { path: "gvp", prediction: "velocity", weighting: "none" },
    ],
  ])("%j", async (change, process) => {
    const { facts, processFrom } = await chosen("SiT-S/8", {}, { ...sit, ...saved, ...change });
    expect(facts.process).toEqual({ kind: "flow", ...process });
    expect(processFrom).toBe("the arguments in it");
  });

  test.each<readonly [Args, RegExp]>([
    [
      { path_type: "linear" },
      /its arguments say path_type "linear", a process that is not known here \(Linear, GVP, VP is\)/,
    ],
    [{ prediction: "v" }, /prediction "v", a process that is not known here/],
    [{ prediction: 3 }, /prediction 3/],
    [{ loss_weight: "min-snr" }, /loss_weight "min-snr"/],
    [{ path_type: "VP", train_eps: 0.9 }, /its arguments \(flow\): trainEpsilon/],
  ])("%j, which we do not have, is refused", async (change, message) => {
    await expect(chosen("SiT-S/8", {}, { ...sit, ...saved, ...change })).rejects.toThrow(message);
  });

  test("is used where a person names the model, and refused for a model of another kind", async () => {
    const own = { ...saved, path_type: "GVP", prediction: "noise" }; // the script does not say which model
    const { facts } = await chosen("SiT-S/8", {}, own, modelOf(presets.get("SiT-S/8")));
    expect(facts.process).toMatchObject({ path: "gvp", prediction: "noise" });
    await expect(chosen("SiT-S/8", {}, own, modelOf(presets.get("DiT-S/8")))).rejects.toThrow(
      'its arguments are those of a SiT (path_type "GVP"), which the named model is not',
    );
  });

  test("is found in Lightning's hyper_parameters, too", async () => {
    const { facts } = await chosen("SiT-S/8", {}, { ...sit, ...saved, path_type: "VP" }, undefined, "hyper_parameters");
    expect(facts.process).toMatchObject({ path: "vp" });
  });
});

describe("arguments are found", () => {
  const own = { path_type: "GVP", prediction: "noise" };

  test.each(["args", "hparams", "hyperparameters", "config", "arguments"])("in %s", async (entry) => {
    const { facts } = await chosen("SiT-S/8", {}, { ...sit, ...own }, undefined, entry);
    expect(facts.process).toMatchObject({ path: "gvp", prediction: "noise" });
  });

  test("in a group among them, where names that are no process's mean something else", async () => {
    const grouped = { ...sit, transport: own, data: { num_classes: 10 } } as unknown as Args;
    const { facts, model } = await chosen("SiT-S/8", {}, grouped);
    expect(facts.process).toMatchObject({ path: "gvp", prediction: "noise" });
    expect(model.config.numClasses).toBe(1000);
  });

  test("beside the weights themselves, where the model is named", async () => {
    const given = modelOf(presets.get("SiT-S/8"));
    const opened = await openWeights(plantShapes(at("beside.safetensors"), weightSpecs(given)));
    const { facts } = chooseModel({ ...opened, otherEntries: { ...own, epoch: 3 } }, given);
    expect(facts.process).toMatchObject({ path: "gvp", prediction: "noise" });
    expect(() => chooseModel({ ...opened, otherEntries: { path_type: "linear" } }, given)).toThrow(
      /its arguments say path_type/,
    );
  });
});

describe("the process of a DiT", () => {
  const dit = { model: "DiT-S/8", image_size: 256, num_classes: 1000, vae: "ema" };

  test("is assumed where its script has no option for it", async () => {
    const found = await chosen("DiT-S/8", {}, dit);
    expect(found.facts.process).toEqual({ kind: "gaussian", schedule: "linear", steps: 1000 });
    expect(found.processFrom).toBeUndefined();
  });

  test("is that of guided diffusion's options", async () => {
    const { facts } = await chosen("DiT-S/8", {}, { ...dit, noise_schedule: "cosine", diffusion_steps: 500 });
    expect(facts.process).toEqual({ kind: "gaussian", schedule: "squaredcos_cap_v2", steps: 500 });
  });

  test.each<Args>([
    { noise_schedule: "sigmoid" },
    { predict_xstart: true },
    { prediction_type: "v_prediction" },
    { rescale_betas_zero_snr: true },
    { path_type: "Linear" },
  ])("%j is refused", async (change) => {
    const wrong = chosen("DiT-S/8", {}, { ...dit, ...change });
    await expect(wrong).rejects.toThrow(/its arguments (say|are)/);
  });

  test.each<Args>([
    { predict_xstart: true },
    { prediction_type: "v_prediction" },
    { zero_snr: true },
  ])("%j is refused also where the arguments do not name the model", async (own) => {
    const wrong = chosen("DiT-S/8", {}, { lr: 1e-4, ...own }, modelOf(presets.get("DiT-S/8")));
    await expect(wrong).rejects.toThrow(`its arguments say ${Object.keys(own)[0]}`);
  });
});

describe("the sizes of a model", () => {
  test("without a preset of these sizes: classes, image size, no learned variance", async () => {
    const change = { numClasses: 100, inputSize: 64, learnSigma: false };
    const { model, notes } = await chosen("SiT-S/8", change, { ...sit, ...saved, num_classes: 100, image_size: 512 });
    expect(model.config).toEqual(modelOf({ ...presets.get("SiT-S/8")!, ...change }).config);
    expect(notes).toEqual([expect.stringContaining("its arguments say so")]);
  });

  test("of MAR: the denoiser, the buffer, dropout, and copies of each token", async () => {
    const args = {
      ...{ model: "mar_base", img_size: 256, vae_stride: 16, patch_size: 1, vae_embed_dim: 16, class_num: 1000 },
      ...{ buffer_size: 32, diffloss_d: 3, diffloss_w: 512, num_sampling_steps: "100", diffusion_batch_mul: 2 },
      ...{ attn_dropout: 0.2, proj_dropout: 0, label_drop_prob: 0.1, mask_ratio_min: 0.7, grad_checkpointing: false },
    };
    const change = { bufferSize: 32, denoiserDepth: 3, denoiserSize: 512, attentionDropout: 0.2, projectionDropout: 0 };
    const { model, facts, notes } = await chosen("MAR-B", change, args);
    expect(model.config).toEqual(modelOf({ ...presets.get("MAR-B")!, ...change }).config);
    expect(facts.process).toEqual({ kind: "tokens", schedule: "squaredcos_cap_v2", steps: 1000, copies: 2 });
    expect(notes).toContainEqual(
      expect.stringMatching(/its arguments say num_sampling_steps 100, which is asked for with `headSteps` 100$/),
    );
    const masked = await chosen("MAR-B", change, { ...args, mask_ratio_min: 0.5 });
    expect(masked.facts.process).toMatchObject({ copies: 2, maskRatioMin: 0.5 });
    await expect(chosen("MAR-B", change, { ...args, mask_ratio_min: 1.5 })).rejects.toThrow(/maskRatioMin/);
    const never = await chosen("MAR-B", change, { ...args, label_drop_prob: 0 });
    expect(never.model.config.nullClass).toBe(false);
    await expect(chosen("MAR-B", change, { ...args, buffer_size: 64 })).rejects.toThrow(
      "its arguments say buffer_size 64, its weights have 32",
    );
  });

  test("that the weights do not have are refused", async () => {
    await expect(chosen("SiT-S/8", {}, { ...sit, ...saved, num_classes: 100 })).rejects.toThrow(
      "its arguments say num_classes 100, its weights have 1000",
    );
  });

  test("a model that a person names against them is refused, as against a description", async () => {
    const { contradiction } = await chosen("SiT-S/8", {}, { ...sit, ...saved }, modelOf(presets.get("DiT-S/8")));
    expect(contradiction).toContain("says itself that it is SiT-S/8");
  });
});

describe("a checkpoint as train.py writes it", () => {
  const config = { ...presets.get("SiT-Digits")!, depth: 2 };
  const args = { ...saved, model: "SiT-Digits", num_classes: 10, path_type: "GVP", prediction: "noise" };
  const checkpoint = () => plantCheckpoint(at("0050000.pt"), awakeWeights(weightSpecs(modelOf(config))), args);

  test("is sampled, converted and pruned as what its arguments say", async () => {
    const path = checkpoint();
    expect((await openModel(path)).process).toMatchObject({ path: "gvp", prediction: "noise" });
    const quick = ["--count", "2", "--steps", "3", "--threads", "1", "--out", at("samples")];
    const sampled = await run(["sample", path, ...quick]);
    expect(sampled.code, sampled.stderr).toBe(0);
    for (const command of [
      ["convert", path, "--out", at("c.safetensors")],
      ["prune", path, "--blocks", "0", "--out", at("p")],
    ]) {
      const ran = await run(command);
      expect(ran.code, ran.stderr).toBe(0);
    }
    for (const file of ["c.safetensors", "p/pruned.safetensors"]) {
      expect((await openModel(at(file))).process, file).toMatchObject({ path: "gvp", prediction: "noise" });
    }
    const inspected = await run(["inspect", path, "--json"]);
    expect(JSON.parse(inspected.stdout)).toMatchObject({ kind: "model", model: { process: { path: "gvp" } } });
  });

  test("that cannot be used is inspected all the same, with the reason", async () => {
    const weights = awakeWeights(weightSpecs(modelOf(config)));
    const path = plantCheckpoint(at("repa.pt"), weights, { ...args, path_type: "linear" });
    const { code, stdout, stderr } = await run(["inspect", path]);
    expect(code).toBe(1);
    expect(stdout).toContain("tensors");
    expect(stderr).toContain('path_type "linear"');
  });
});
