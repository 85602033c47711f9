/** The engine of int8 layers: against the reference, and that constants give the bits of weights that are fed. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { float32, type NDArray, sizeOf } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { type CompileOptions, type Inputs, runAndRead, type Weight } from "../../src/engine/engine.ts";
import { int8Engine } from "../../src/engine/int8-engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import * as g from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";
import { withPrecision } from "../../src/graph/precision.ts";
import { openWeights } from "../../src/weights/open-weights.ts";
import { evaluate, toValue } from "../reference/evaluate.ts";

const draw = (purpose: string, shape: readonly number[]): NDArray<"float32"> =>
  float32(normals({ seed: 1, purpose, step: 0, index: 0 }, sizeOf(shape)), shape);

const x = g.input("x", [symbolicDim("N"), 3, 20]);
const hidden = g.geluTanh(g.linear(x, g.parameter("fc1.weight", [33, 20]), g.parameter("fc1.bias", [33])));
const graph = { outputs: { y: g.linear(hidden, g.parameter("fc2.weight", [20, 33]), x, 0.5) } };
const weights = new Map<string, NDArray>(
  Object.entries({ "fc1.weight": [33, 20], "fc1.bias": [33], "fc2.weight": [20, 33] }).map(([name, shape]) => [
    name,
    draw(name, shape),
  ]),
);
const int8 = int8Engine(cpuEngine({ threads: 2 }), () => true);

async function run(inputs: Inputs, options?: CompileOptions, engine = int8): Promise<NDArray> {
  const program = await engine.compile(graph, options);
  const { y } = await runAndRead(program, inputs);
  await program.release();
  return y!;
}

const constant = { constants: weights };
const batch = draw("x", [4, 3, 20]);

describe("an int8 engine", () => {
  test("computes the rewritten graph", async () => {
    const values = [...weights, ["x", batch] as const].map(([name, value]) => [name, toValue(value)]);
    const expected = evaluate(withPrecision(graph, "int8"), Object.fromEntries(values)).y!;
    const { data } = await run({ x: batch }, constant);
    expected.data.forEach((value, i) => {
      expect(data[i]).toBeCloseTo(value, 4);
    });
  });

  test("gives the same bits for constants in memory, in files and for weights that are fed", async () => {
    const folder = mkdtempSync(join(tmpdir(), "int8-"));
    const path = join(folder, "weights.safetensors");
    writeFileSync(path, Buffer.concat([...encodeSafetensors(weights)]));
    const { tensors } = await openWeights(path);
    const stored = new Map<string, Weight>([...tensors.values()].map((tensor) => [tensor.name, tensor]));
    const fed = { x: batch, ...Object.fromEntries(weights) };
    const results = [await run({ x: batch }, constant), await run({ x: batch }, { constants: stored }), await run(fed)];
    rmSync(folder, { recursive: true });
    expect([...results[1]!.data]).toEqual([...results[0]!.data]);
    expect([...results[2]!.data]).toEqual([...results[0]!.data]);
  });

  test("computes each row as if it were alone", async () => {
    const all = await run({ x: batch }, constant);
    const louder = float32(
      batch.data.map((value, i) => (i < 60 ? 100 * value : value)),
      batch.shape,
    );
    const beside = await run({ x: louder }, constant);
    const alone = await run({ x: batch.rows(2, 3) }, constant);
    expect([...beside.rows(1, 4).data]).toEqual([...all.rows(1, 4).data]);
    expect([...alone.data]).toEqual([...all.rows(2, 3).data]);
  });

  test("leaves the layers that are not asked for, to the bit", async () => {
    const none = await run(
      { x: batch },
      constant,
      int8Engine(cpuEngine({ threads: 2 }), () => false),
    );
    expect([...none.data]).toEqual([...(await run({ x: batch }, constant, cpuEngine({ threads: 2 }))).data]);
  });

  test("keeps what is not finite not finite, and rows of zeros zero", async () => {
    const spoilt = float32(batch.data.slice(), batch.shape);
    spoilt.data[0] = Number.NaN;
    spoilt.data[20] = Number.POSITIVE_INFINITY;
    spoilt.data.fill(0, 40, 60);
    const { data } = await run({ x: spoilt }, constant);
    expect([data[0], data[20]].some((value) => Number.isFinite(value))).toBe(false);
    expect([...data.slice(40, 60)].every((value) => Number.isFinite(value))).toBe(true);
  });
});
