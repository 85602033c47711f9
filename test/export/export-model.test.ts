/** What is in an exported folder, and that nothing is there if anything went wrong. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { afterAll, describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32 } from "../../src/array/ndarray.ts";
import { lower } from "../../src/engine/onnx/lowering.ts";
import { runFile } from "../../src/engine/onnx/session.ts";
import { checkPart, largestDifference, relativeDifference } from "../../src/export/check.ts";
import { denoiserPart } from "../../src/export/denoiser-part.ts";
import { exportLowerings, exportProviders } from "../../src/export/lowerings.ts";
import { writePart } from "../../src/export/write-part.ts";
import { int8Layers } from "../../src/models/int8-layers.ts";
import { modelOf } from "../../src/models/registry.ts";
import { weightSpecs } from "../../src/weights/model-file.ts";
import { type Row, rows } from "../conformance/models.ts";
import { awakeWeights } from "../training/tiny.ts";
import { engine, exported, exportFolder, namesIn, rowNamed } from "./exported.ts";

const folder = exportFolder();
afterAll(() => rmSync(folder, { recursive: true }));

const dit = rowNamed("DiT with learned variance");
const settings = { batch: undefined, guidance: true, cfgChannels: 2 };
const part = () =>
  denoiserPart(dit.model, dit.process as { kind: "gaussian"; schedule: "linear"; steps: 100 }, settings);
const pipelineIn = (out: string) => JSON.parse(readFileSync(join(out, "pipeline.json"), "utf8"));

describe("an exported folder", () => {
  test.each(rows.map((row) => [row.name, row] as const))("of a %s holds its files and says so", async (name, row) => {
    const out = join(folder, name);
    const { files, checked } = await exported(row, out);
    const onnx = row.model.family.name === "mar" ? ["condition.onnx", "token-denoiser.onnx"] : ["denoiser.onnx"];
    expect(namesIn(out)).toEqual([...onnx, "pipeline.json"].sort());
    expect(Object.keys(checked)).toEqual(onnx);
    for (const value of Object.values(checked)) expect(value).toBeLessThan(1e-4);
    const pipeline = pipelineIn(out);
    expect(pipeline.files).toEqual(files);
    for (const { name, bytes, sha256 } of files) {
      const content = readFileSync(join(out, name));
      expect([bytes, sha256]).toEqual([content.length, createHash("sha256").update(content).digest("hex")]);
    }
    expect(pipeline).toMatchObject({
      ...{ format: "tinyfusion-pipeline", version: 1, family: row.model.family.name, vae: null },
      ...{ image: { channels: 2, size: 8 }, classes: { count: 3, none: 3 }, process: row.process },
      prediction: row.model.family.name === "sit" ? "velocity" : "noise",
      learnedVariance: name !== "DiT without" && row.model.family.name !== "sit",
      origin: { config: row.model.config, imagesSeen: 7 },
    });
  });

  test("tells every input and output of the file, and the file has no others", async () => {
    const out = join(folder, "ports");
    await exported(dit, out);
    const { inputs, outputs } = pipelineIn(out).parts.denoiser;
    const image = ["batch", 2, 8, 8];
    const short = (ports: { name: string; dtype: string; shape: unknown; about: string }[]) =>
      ports.map(({ name, dtype, shape, about }) => [name, dtype, shape, about.length > 5]);
    expect(short(inputs)).toEqual([
      ["x", "float32", image, true],
      ["t", "float32", ["batch"], true],
      ["y", "int32", ["batch"], true],
      ["cfgScale", "float32", [], true],
    ]);
    expect(short(outputs)).toEqual([
      ["noise", "float32", image, true],
      ["variance", "float32", image, true],
    ]);
    const session = await ort.InferenceSession.create(join(out, "denoiser.onnx"));
    expect([...session.inputNames].sort()).toEqual(["cfgScale", "t", "x", "y"]);
    expect(session.outputNames).toEqual(["noise", "variance"]);
  });

  test("knows the names of 1,000 classes", async () => {
    const model = modelOf({ ...dit.model.config, depth: 1, numClasses: 1000 });
    const out = join(folder, "imagenet");
    await exported({ ...dit, model, weights: awakeWeights(weightSpecs(model)) }, out);
    const { count, none, names } = pipelineIn(out).classes;
    expect([count, none, names.length, names[207]]).toEqual([1000, 1000, 1000, "golden retriever"]);
  });

  test("may be an empty folder that was there, and its files may go elsewhere", async () => {
    const [out, moved] = [join(folder, "empty"), join(folder, "moved")];
    mkdirSync(out);
    await exported(dit, out, { external: true });
    renameSync(out, moved);
    expect((await runFile(join(moved, "denoiser.onnx"), part().example(2))).noise!.shape).toEqual([2, 2, 8, 8]);
  });

  test("of a fixed batch takes that batch only", async () => {
    const out = join(folder, "fixed");
    await exported(dit, out, { batch: 2 });
    const file = join(out, "denoiser.onnx");
    expect((await runFile(file, part().example(2))).noise!.shape).toEqual([2, 2, 8, 8]);
    await expect(runFile(file, part().example(3))).rejects.toThrow(/[Dd]imension/);
  });
});

describe("weights", () => {
  test("in a second file give the same numbers as inside, and begin on pages", async () => {
    const [inside, outside] = [join(folder, "inside"), join(folder, "outside")];
    await exported(dit, inside);
    await exported(dit, outside, { external: true });
    expect(namesIn(outside)).toEqual(["denoiser.onnx", "denoiser.onnx.data", "pipeline.json"]);
    expect(pipelineIn(outside).parts.denoiser.data).toBe("denoiser.onnx.data");
    expect(pipelineIn(inside).parts.denoiser.data).toBeUndefined();
    const feeds = part().example(2);
    const [a, b] = [inside, outside].map((out) => runFile(join(out, "denoiser.onnx"), feeds));
    expect([...(await a!).noise!.data]).toEqual([...(await b!).noise!.data]);
    const data = readFileSync(join(outside, "denoiser.onnx.data"));
    for (const [name, { data: values }] of dit.weights) {
      const at = data.indexOf(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
      expect([name, at >= 0, at % 4096]).toEqual([name, true, 0]);
    }
  });

  test("of layers in int8 are stored so, with a range for each output channel, inside the file or beside it", async () => {
    const [inside, outside] = [join(folder, "int8-inside"), join(folder, "int8-outside")];
    const { checked } = await exported(dit, inside, { precision: "int8" });
    await exported(dit, outside, { precision: "int8", external: true, dtype: "float16" });
    expect(checked["denoiser.onnx"]).toBeLessThan(1e-4);
    const { weights: stored } = pipelineIn(inside);
    expect(stored).toMatchObject({ dtype: "float32", computedIn: expect.stringMatching(/^int8 in the linear layers/) });
    const layers = int8Layers(dit.model);
    const low = [...dit.weights].filter(([name]) => name.endsWith("weight") && layers(name));
    const saved = 3 * low.reduce((sum, [, { size }]) => sum + size, 0);
    const bytes = (out: string, name: string) => statSync(join(out, name)).size;
    const whole = bytes(join(folder, "inside"), "denoiser.onnx");
    expect(whole - bytes(inside, "denoiser.onnx")).toBeGreaterThan(0.5 * saved); // more nodes, and ranges
    const feeds = part().example(2);
    const [a, b] = [inside, outside].map((out) => runFile(join(out, "denoiser.onnx"), feeds));
    expect(relativeDifference((await b!).noise!, (await a!).noise!)).toBeLessThan(0.02);
  });

  test("in float16 take half the space and are a little off", async () => {
    const [whole, half] = [join(folder, "float32"), join(folder, "float16")];
    await exported(dit, whole, { external: true });
    const { checked } = await exported(dit, half, { external: true, dtype: "float16" });
    expect(checked["denoiser.onnx"]).toBeGreaterThan(1e-5);
    expect(checked["denoiser.onnx"]).toBeLessThan(largestDifference.float16 / 4);
    const size = (out: string) => statSync(join(out, "denoiser.onnx.data")).size;
    expect(size(half)).toBeLessThan(size(whole));
    expect(pipelineIn(half).weights).toMatchObject({ dtype: "float16", computedIn: "float32" });
  });
});

describe("the ONNX graph", () => {
  test.each(exportProviders)("for %s computes every value before it is used, as the standard asks", (provider) => {
    const { model } = lower(part().graph, exportLowerings[provider]);
    const known = new Set([...model.inputs, ...model.initializers].map(({ name }) => name));
    for (const { inputs, outputs } of model.nodes) {
      expect(inputs.filter((name) => name !== "" && !known.has(name))).toEqual([]);
      for (const name of outputs) known.add(name);
    }
    for (const { name } of model.outputs) expect(known.has(name)).toBe(true);
    const contrib = model.nodes.filter(({ opType }) => opType === "FusedMatMul").length;
    expect(contrib > 0).toBe(provider === "cpu");
  });
});

describe("what goes wrong", () => {
  const withWeight = (change: (values: Float32Array) => void): Row => {
    const { data, shape } = dit.weights.get("blocks.1.mlp.fc1.weight")!;
    const changed = float32(data.slice(), shape);
    change(changed.data);
    return { ...dit, weights: new Map([...dit.weights, ["blocks.1.mlp.fc1.weight", changed]]) };
  };
  const parent = join(folder, "parent");
  mkdirSync(parent);

  const refused = async (result: Promise<unknown>, message: RegExp) => {
    await expect(result).rejects.toThrow(InputError);
    await expect(result).rejects.toThrow(message);
    expect(namesIn(parent)).toEqual([]);
  };

  test("a file that computes something else is not published", async () => {
    const wrong = withWeight((values) => values.set([values[0]! + 0.05]));
    const files = join(folder, "unlike");
    mkdirSync(files);
    const write = { lowering: exportLowerings.cpu, dtype: "float32", external: false } as const;
    await writePart(files, part(), wrong.weights, write);
    const check = checkPart(files, part(), dit.weights, { engine, dtype: "float32" });
    await expect(check).rejects.toThrow(/expected outputs within 0.0001 .* found a difference of 0\.0/);
  });

  test("weights that are not numbers are refused after the files were tried, and nothing is left", () =>
    refused(
      exported(
        withWeight((values) => values.set([Number.NaN])),
        join(parent, "nan"),
      ),
      /its output noise has the value NaN .*nothing was exported/,
    ));

  test("weights too large for float16 are named", () =>
    refused(
      exported(
        withWeight((values) => values.set([-70000])),
        join(parent, "large"),
        { dtype: "float16" },
      ),
      /cannot store as float16, .*blocks\.1\.mlp\.fc1\.weight \(7\.000e\+4\); store .*float32/,
    ));

  test.each([
    ["DiT with learned", { steps: "ddim77" }, /no whole stride/],
    ["DiT with learned", { cfgChannels: 3 }, /guidance of 3 channels/],
    ["DiT with learned", { sampler: "heun" }, /can name the samplers ddim, ddpm for this model, not heun/],
    ["SiT, velocities", { sampler: "dopri5" }, /can name the samplers euler, heun for this model, not dopri5/],
    ["SiT, velocities", { steps: "ddim5" }, /a number of points in time, got "ddim5"/],
    ["MAR", { steps: "17" }, /16 tokens are generated in 1 to 16 iterations, got 17/],
  ] as const)("%s: %o is refused", (name, sampling, message) =>
    refused(exported(rowNamed(name), join(parent, "settings"), { sampling }), message));

  test("a folder with files in it stays as it is", async () => {
    const out = join(folder, "used");
    mkdirSync(out);
    writeFileSync(join(out, "mine.txt"), "mine");
    await expect(exported(dit, out)).rejects.toThrow(
      /used: expected a new or empty folder, found one that is not empty; choose another/,
    );
    expect(namesIn(out)).toEqual(["mine.txt"]);
  });

  test("a stop between two files leaves nothing", async () => {
    const stop = new AbortController();
    const stages: string[] = [];
    const onStage = (text: string) => {
      stages.push(text);
      if (text.startsWith("checking")) stop.abort();
    };
    const result = exported(rowNamed("MAR"), join(parent, "stopped"), { signal: stop.signal, onStage });
    await expect(result).rejects.toThrow(/aborted/);
    expect(stages).toEqual(["writing condition.onnx", "checking condition.onnx"]);
    expect(namesIn(parent)).toEqual([]);
  });
});
