/** Dropout in layers: where masks differ, where they agree, and what it does to values and gradients. */

import { describe, expect, it } from "vitest";
import { allocate, type NDArray, sizeOf, NDArray as Values } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { drawnProbability, geluTanh, input, mul, sum } from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";
import { gradient } from "../../src/graph/gradient.ts";
import { type Graph, nodesOf } from "../../src/graph/graph.ts";
import { printGraph } from "../../src/graph/print.ts";
import { isOp, type Tensor } from "../../src/graph/tensor.ts";
import { dropout, dropoutKeys } from "../../src/nn/dropout.ts";
import { mlp, selfAttention } from "../../src/nn/layers.ts";
import { Params } from "../../src/nn/params.ts";
import { centralDifferences } from "../reference/central-differences.ts";
import { evaluate, toValue, type Value } from "../reference/evaluate.ts";

const N = symbolicDim("N");
const T = symbolicDim("T");
const key = input("key", [N, 2], "int32");
const x = input("x", [N, T, 8]);

const random = (name: string, shape: readonly number[]): NDArray<"float32"> => {
  const values = normals({ seed: 4, purpose: name, step: 0, index: 0 }, sizeOf(shape));
  return new Values("float32", shape, values);
};

const layers: readonly [string, (p: Params, key: Tensor | undefined) => Tensor, readonly string[]][] = [
  [
    "selfAttention",
    (p, key) => selfAttention(p, x, 2, { key, attention: 0.3, projection: 0.2 }),
    ["block.attn_drop", "block.proj_drop"],
  ],
  ["mlp", (p, key) => mlp(p, x, 12, geluTanh, { key, rate: 0.25 }), ["block.drop1", "block.drop2"]],
];

const print = (y: Tensor): string => printGraph({ outputs: { y } });
const opsOf = (y: Tensor): string[] => nodesOf([y]).map(({ op }) => op);

/** The streams of all masks below y. */
const streamsOf = (y: Tensor): number[] =>
  nodesOf([y]).flatMap((node) => (isOp(node, "bernoulli") ? [node.attributes.stream] : []));

async function run(graph: Graph, feeds: Record<string, NDArray>): Promise<Record<string, NDArray>> {
  const session = await cpuEngine({ threads: 1 }).compile(graph);
  const results = await runAndRead(session, feeds);
  await session.release();
  return results;
}

describe("dropout", () => {
  it("zeros the share that the rate says and divides the others by what stays", async () => {
    const rows = input("rows", [N, 1000]);
    const y = dropout(new Params(), rows, 0.1, key);
    const ones = new Values("float32", [40, 1000], allocate("float32", 40_000).fill(1));
    const keys = dropoutKeys(
      1,
      2,
      Array.from({ length: 40 }, (_, i) => i),
    );
    const found = (await run({ outputs: { y } }, { rows: ones, key: keys })).y!.data as Float32Array;
    const stays = drawnProbability(0.9);
    expect(Math.abs(stays - 0.9)).toBeLessThan(2 ** -17);
    expect([...new Set(found)].sort()).toEqual([0, Math.fround(1 / stays)]);
    const mean = found.reduce((a, b) => a + b, 0) / found.length;
    expect(Math.abs(mean - 1)).toBeLessThan(4 * Math.sqrt(0.1 / 0.9 / found.length));
  });

  it("is nothing without a key or a rate", () => {
    expect(dropout(new Params(), x, 0.5, undefined)).toBe(x);
    expect(dropout(new Params(), x, 0, key)).toBe(x);
  });

  it.each([-0.1, 1, 1.5, Number.NaN])("refuses the rate %d, with a key or without", (rate) => {
    for (const some of [key, undefined]) {
      expect(() => dropout(new Params().at("blocks", 3), x, rate, some)).toThrow(
        `blocks.3: dropout expects a rate in [0, 1), got ${rate}`,
      );
    }
  });

  it("has one mask for one scope and others elsewhere", () => {
    const streamOf = (p: Params) => streamsOf(dropout(p, x, 0.5, key))[0];
    const student = new Params().at("student");
    expect(streamOf(student.at("blocks", 3))).toBe(streamOf(new Params().at("student", "blocks", 3)));
    const scopes = [student.at("blocks", 3), student.at("blocks", 4), new Params().at("teacher", "blocks", 3), student];
    expect(new Set(scopes.map(streamOf)).size).toBe(scopes.length);
  });
});

describe("keys", () => {
  it("depend on seed, step and example, not on the place in the batch", () => {
    const words = (seed: number, step: number, ...indices: number[]) => [...dropoutKeys(seed, step, indices).data];
    expect(words(1, 2, 7, 5)).toEqual([...words(1, 2, 7), ...words(1, 2, 5)]);
    const all = [words(1, 2, 7), words(1, 2, 8), words(1, 3, 7), words(2, 2, 7)];
    expect(new Set(all.flat()).size).toBe(8);
    expect(dropoutKeys(1, 2, [7, 5]).shape).toEqual([2, 2]);
  });
});

describe.each(layers)("%s", (_, layer, places) => {
  it("without a key is the layer without dropout", () => {
    expect(print(layer(new Params().at("block"), undefined))).toBe(print(plain(_)));
    expect(opsOf(plain(_))).not.toContain("bernoulli");
  });

  it("drops where timm does", () => {
    const p = new Params();
    const streams = streamsOf(layer(p.at("block"), key));
    const expected = places.map((scope) => streamsOf(dropout(p.at(...scope.split(".")), x, 0.5, key))[0]);
    expect(streams).toEqual(expected);
    expect(p.specs().map(({ name }) => name)).toEqual(weightsOf(plain(_)));
  });

  it("has gradients that agree with central differences", () => {
    const p = new Params();
    const y = layer(p.at("block"), key);
    const loss = sum(mul(y, input("cotangent", [N, T, 8])));
    const feeds: Record<string, Value> = {
      x: toValue(random("x", [2, 3, 8])),
      key: toValue(dropoutKeys(1, 2, [5, 9])),
    };
    feeds.cotangent = toValue(random("cotangent", [2, 3, 8]));
    for (const { name, shape } of p.specs()) feeds[name] = toValue(random(name, shape));
    const wrt: Record<string, Tensor> = { x };
    for (const { name } of p.specs()) wrt[name] = p.tensor(name);
    const gradients = gradient(loss, Object.values(wrt));
    const outputs = Object.fromEntries(Object.keys(wrt).map((name, i) => [name, gradients[i]!]));
    const found = evaluate({ outputs: { ...outputs, y } }, feeds);
    expect([...found.y!.data].filter((value) => value === 0).length).toBeGreaterThan(0);
    for (const name of Object.keys(wrt)) {
      const expected = centralDifferences(loss, feeds, name);
      const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      expected.forEach((value, i) => {
        expect(Math.abs(value - found[name]!.data[i]!), `${name}[${i}]`).toBeLessThanOrEqual(1e-6 * largest + 1e-9);
      });
    }
  });

  it("gives a row the same values in another batch", async () => {
    const p = new Params();
    const graph = { outputs: { y: layer(p.at("block"), key) } };
    const weights = Object.fromEntries(p.specs().map(({ name, shape }) => [name, random(name, shape)]));
    const [xs, keys] = [random("x", [4, 3, 8]), dropoutKeys(1, 2, [5, 9, 2, 7])];
    const whole = (await run(graph, { x: xs, key: keys, ...weights })).y!;
    const part = (await run(graph, { x: xs.rows(1, 3), key: keys.rows(1, 3), ...weights })).y!;
    expect([...part.data]).toEqual([...whole.rows(1, 3).data]);
    expect([...whole.data].filter((value) => value === 0).length).toBeGreaterThan(0);
  });
});

/** The layer as it is called without dropout. */
function plain(name: string): Tensor {
  const p = new Params().at("block");
  return name === "mlp" ? mlp(p, x, 12, geluTanh) : selfAttention(p, x, 2);
}

const weightsOf = (y: Tensor): string[] =>
  nodesOf([y]).flatMap((node) => (isOp(node, "parameter") ? [node.attributes.name] : []));
