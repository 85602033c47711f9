/** Low-rank updates: which layers get them, that they start as nothing, and that merging equals running them. */
import { describe, expect, it } from "vitest";
import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { type NamedArrays, runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { concat, input, linear, mul, parameter } from "../../src/graph/build.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { predictor } from "../../src/models/registry.ts";
import { initialWeights } from "../../src/nn/init.ts";
import { Params } from "../../src/nn/params.ts";
import { type LoraSettings, loraDefaults, mergeLora, withLora } from "../../src/training/lora.ts";
import { awakeWeights, tinyModel } from "./tiny.ts";

const engine = cpuEngine({ threads: 1 });
const settings: LoraSettings = { rank: 3, alpha: 12 };
const model = tinyModel();
const p = new Params();
const io = { x: input("x", [2, 1, 8, 8]), t: input("t", [2]), y: input("y", [2], "int32") };
const plain = predictor(model, p)(io);
const weights = awakeWeights(p.specs());

const random = (name: string, shape: readonly number[]) =>
  float32(
    normals(
      { seed: 6, purpose: name, step: 0, index: 0 },
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
  );
const feeds: NamedArrays = {
  x: random("x", [2, 1, 8, 8]),
  t: float32([3, 77]),
  y: int32([1, 3]),
};

async function run(y: Tensor, values: Iterable<readonly [string, NDArray]>): Promise<Float32Array> {
  const session = await engine.compile({ outputs: { result: y } });
  const results = await runAndRead(session, { ...feeds, ...Object.fromEntries(values) });
  return results.result!.data as Float32Array;
}

/** The largest difference as a share of the largest element. */
const apart = (a: Float32Array, b: Float32Array): number =>
  Math.max(...a.map((x, i) => Math.abs(x - b[i]!))) / Math.max(...b.map(Math.abs));

/** Both factors of every layer at random: an update as large as the weights. */
const awake = (adapters: Params) =>
  new Map(
    adapters.specs().map(({ name, shape }) => [
      name,
      float32(
        random(name, shape).data.map((x) => 0.1 * x),
        shape,
      ),
    ]),
  );

describe("a model with low-rank updates", () => {
  const adapters = new Params();
  const [adapted] = withLora([plain], adapters, settings) as [Tensor];

  it("adapts every linear layer, but neither the patch embedding nor the label table", () => {
    const layers = new Set(adapters.specs().map(({ name }) => name.replace(/\.lora_[ab]\.weight$/, "")));
    const blocks = [0, 1].flatMap((i) =>
      ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "adaLN_modulation.1"].map((layer) => `blocks.${i}.${layer}`),
    );
    const others = ["t_embedder.mlp.0", "t_embedder.mlp.2", "final_layer.adaLN_modulation.1", "final_layer.linear"];
    expect([...layers].sort()).toEqual([...blocks, ...others].sort());
    const shapes = adapters.specs().filter(({ name }) => name.startsWith("blocks.1.mlp.fc1."));
    expect(shapes.map(({ shape }) => shape)).toEqual([
      [3, 16],
      [64, 3],
    ]);
  });

  it("computes what the plain model does while B is zero", async () => {
    const start = initialWeights(adapters.specs(), 5);
    for (const [name, { data }] of start)
      expect(
        data.some((x) => x !== 0),
        name,
      ).toBe(name.includes("lora_a"));
    const [with_, without] = [await run(adapted, [...weights, ...start]), await run(plain, weights)];
    expect(apart(with_, without)).toBeLessThan(1e-6);
  });

  it("computes what the plain model does with merged weights", async () => {
    const factors = awake(adapters);
    const rewritten = await run(adapted, [...weights, ...factors]);
    const merged = await run(plain, mergeLora(weights, factors, settings));
    expect(apart(rewritten, merged)).toBeLessThan(1e-5);
    expect(apart(rewritten, await run(plain, weights))).toBeGreaterThan(0.1);
  });

  it("scales with alpha / rank: the paper's rank 8 and alpha 16 are 2", async () => {
    expect(loraDefaults.alpha / loraDefaults.rank).toBe(2);
    const scope = new Params();
    const [y] = withLora([linear(io.t, parameter("layer.weight", [1, 2]))], scope, { rank: 1, alpha: 5 }) as [Tensor];
    const ones = scope
      .specs()
      .map(({ name, shape }) => [name, float32([1, 1].slice(0, shape[0]! * shape[1]!), shape)] as const);
    expect([...(await run(y, [["layer.weight", float32([1, 0], [1, 2])], ...ones]))]).toEqual([3 + 5 * (3 + 77)]);
  });
});

describe("a layer that is traced twice", () => {
  it("has one pair of factors, which both uses see", async () => {
    const weight = parameter("layer.weight", [2, 2]);
    const both = concat([linear(io.t, weight), linear(mul(io.t, 2), weight)], 0);
    const adapters = new Params();
    const [y] = withLora([both], adapters, settings) as [Tensor];
    expect(adapters.specs().map(({ name }) => name)).toEqual(["layer.lora_a.weight", "layer.lora_b.weight"]);
    const [a, b, c, d] = await run(y, [["layer.weight", random("w", [2, 2])], ...awake(adapters)]);
    expect([c! / a!, d! / b!].map((ratio) => ratio.toFixed(5))).toEqual(["2.00000", "2.00000"]);
  });

  it("has one pair of factors per name when a whole model is traced twice in one rewrite", () => {
    const second = predictor(model, p)({ ...io, x: mul(io.x, 2) });
    const [once, twice] = [new Params(), new Params()];
    withLora([plain], once, settings);
    withLora([plain, second], twice, settings);
    expect(twice.specs()).toEqual(once.specs());
  });
});

describe("merging", () => {
  it("leaves weights without factors as they are", () => {
    const merged = mergeLora(weights, new Map(), settings);
    for (const [name, value] of weights) expect(merged.get(name)).toBe(value);
  });

  it("does not change the weights it was given", () => {
    const adapters = new Params();
    withLora([plain], adapters, settings);
    const before = new Map(Array.from(weights, ([name, { data }]) => [name, data.slice()]));
    const merged = mergeLora(weights, awake(adapters), settings);
    expect(merged.get("blocks.0.mlp.fc1.weight")!.data).not.toEqual(before.get("blocks.0.mlp.fc1.weight"));
    for (const [name, { data }] of weights) expect(data, name).toEqual(before.get(name));
  });
});
