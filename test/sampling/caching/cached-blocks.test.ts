/** Blocks whose branches are taken from elsewhere, on a model of two blocks. */

import { describe, expect, test } from "vitest";
import { float32, type NDArray } from "../../../src/array/ndarray.ts";
import { normals } from "../../../src/array/random.ts";
import { runAndRead } from "../../../src/engine/engine.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { add, input, layerNorm, linear, mul, parameter, tanh } from "../../../src/graph/build.ts";
import { leavesOf, nodesOf } from "../../../src/graph/graph.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { type Block, type RunBlock, residualBlock, runAll, runOnly } from "../../../src/nn/run-block.ts";
import { type BranchKind, type BranchOutput, runCached } from "../../../src/sampling/caching/cached-blocks.ts";

const SIZE = 8;
const engine = cpuEngine({ threads: 1 });
const values = (purpose: string, shape: number[]) =>
  float32(
    normals(
      { seed: 1, purpose, step: 0, index: 0 },
      shape.reduce((a, b) => a * b),
    ),
    shape,
  );

/** Each branch has a norm and a gate of its own, which depends on the condition. */
function block(index: number): Block {
  const branch = (name: string) => ({
    name,
    delta(h: Tensor, ...[c]: Tensor[]) {
      const scope = `${index}.${name}`;
      const layer = (what: string, x: Tensor) =>
        linear(x, parameter(`${scope}.${what}.weight`, [SIZE, SIZE]), parameter(`${scope}.${what}.bias`, [SIZE]));
      return mul(layer("gate", c!), tanh(layer("layer", layerNorm(h, 1e-6))));
    },
  });
  return residualBlock([branch("attention"), branch("mlp")]);
}

const shape = [4, 3, SIZE];

function model(runBlock: RunBlock): Tensor {
  const [h, c] = [input("h", shape), input("c", shape)];
  return add(
    [0, 1].reduce((state, i) => runBlock(block(i), state, i, c), h),
    1,
  );
}

const feeds = {
  ...{ h: values("h", shape), c: values("c", shape) },
  ...Object.fromEntries(
    [...leavesOf(nodesOf([model(runAll)]), "parameter")].map(([name, { attributes }]) => [
      name,
      values(name, [...attributes.shape]),
    ]),
  ),
};

/** The model's output and the deltas that it computed, from deltas that are given. */
async function run(reused: readonly BranchKind[], given: Record<string, NDArray> = {}, inner: RunBlock = runAll) {
  const deltas = new Map<string, BranchOutput>();
  const out = model(runCached(new Set(reused), deltas, inner));
  const computed = [...deltas].filter(([, { kind }]) => !reused.includes(kind));
  const outputs = { out, ...Object.fromEntries(computed.map(([name, { value }]) => [name, value])) };
  const session = await engine.compile({ outputs });
  const { out: result, ...found } = await runAndRead(session, { ...feeds, ...given });
  await session.release();
  return { result: result!, deltas: found, parameters: [...leavesOf(nodesOf([out]), "parameter").keys()] };
}

async function plain(inner: RunBlock = runAll) {
  const session = await engine.compile({ outputs: { out: model(inner) } });
  const { out } = await runAndRead(session, feeds);
  await session.release();
  return out!;
}

const patterns: BranchKind[][] = [["attention"], ["mlp"], ["attention", "mlp"]];

describe("a model whose deltas are kept", () => {
  test("computes the same bits, and names every delta", async () => {
    const { result, deltas } = await run([]);
    expect(result).toEqual(await plain());
    expect(Object.keys(deltas).sort()).toEqual([
      "delta.0.attention",
      "delta.0.mlp",
      "delta.1.attention",
      "delta.1.mlp",
    ]);
  });

  test.each(patterns)("and reused from the same step, %s and %s, still does", async (...kinds) => {
    const reused = kinds.filter((kind) => kind !== undefined);
    const { deltas } = await run([]);
    expect((await run(reused, deltas)).result).toEqual(await plain());
  });

  test("adds what it is given, not what it would compute", async () => {
    const { deltas } = await run([]);
    const doubled = Object.fromEntries(
      Object.entries(deltas).map(([name, x]) => [
        name,
        float32(
          (x.data as Float32Array).map((v) => 2 * v),
          x.shape,
        ),
      ]),
    );
    const { result } = await run(["attention", "mlp"], doubled);
    const all = Object.values(doubled).map(({ data }) => data as Float32Array);
    const wanted = feeds.h.data.map((h, i) => all.reduce((sum, data) => sum + data[i]!, h) + 1);
    result.data.forEach((x, i) => {
      expect(Number(x)).toBeCloseTo(wanted[i]!, 5);
    });
  });
});

describe("what is reused", () => {
  test("is not computed: neither layer nor norm nor gate", async () => {
    const { deltas, parameters } = await run([]);
    expect(parameters).toHaveLength(16);
    expect((await run(["attention"], deltas)).parameters).toEqual(parameters.filter((name) => name.includes("mlp")));
    expect((await run(["attention", "mlp"], deltas)).parameters).toEqual([]);
  });

  test("is only what the inner RunBlock runs", async () => {
    const { result, deltas } = await run([], {}, runOnly([1]));
    expect(Object.keys(deltas)).toEqual(["delta.1.attention", "delta.1.mlp"]);
    expect(result).toEqual(await plain(runOnly([1])));
    expect((await run(["mlp"], deltas, runOnly([1]))).result).toEqual(result);
  });

  test("is refused for a block that runs twice", () => {
    const twice: RunBlock = (of, h, _index, ...c) => of(of(h, ...c), ...c);
    expect(() => model(runCached(new Set(), new Map(), twice))).toThrow("delta.0.attention runs twice");
  });
});
