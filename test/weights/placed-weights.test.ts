/** Weights that an engine maps from files give the results of weights that are fed. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { float32, int32, NDArray } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { runAndRead, type Weight } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { float16ToFloat32, float32ToFloat16 } from "../../src/formats/float16.ts";
import { bytesInMemory, isMappable } from "../../src/formats/weight-file.ts";
import { input } from "../../src/graph/build.ts";
import { predictor } from "../../src/models/registry.ts";
import { Params } from "../../src/nn/params.ts";
import { openModel, saveModel, weightSpecs } from "../../src/weights/model-file.ts";
import { readWeights } from "../../src/weights/read-weights.ts";
import { awakeWeights, tinyModel } from "../training/tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-placed-"));
afterAll(() => rmSync(folder, { recursive: true }));

const model = tinyModel();
const weights = awakeWeights(weightSpecs(model));
const facts = {
  weights: "raw",
  images: 0,
  prunings: [],
  process: { kind: "gaussian", schedule: "linear", steps: 1000 },
} as const;
const [whole, half] = [join(folder, "a/model.safetensors"), join(folder, "b/half.safetensors")];
for (const sub of ["a", "b"]) mkdirSync(join(folder, sub));
await saveModel(whole, model, weights, facts);
await saveModel(half, model, weights, facts, true);

const output = (p: Params) =>
  predictor(model, p)({ x: input("x", [2, 1, 8, 8]), t: input("t", [2]), y: input("y", [2], "int32") });

const batch = {
  x: float32(normals({ seed: 0, purpose: "x", step: 0, index: 0 }, 128), [2, 1, 8, 8]),
  t: float32([3, 500]),
  y: int32([1, 2]),
};

/** The model's output with these weights under a prefix. */
async function compute(given: ReadonlyMap<string, Weight>, scope = ""): Promise<number[]> {
  const engine = cpuEngine({ threads: 1 });
  const constants = new Map(Array.from(given, ([name, weight]) => [scope === "" ? name : `${scope}.${name}`, weight]));
  const p = scope === "" ? new Params() : new Params().at(scope);
  const program = await engine.compile({ outputs: { output: output(p) } }, { constants });
  const { output: found } = await runAndRead(program, batch);
  await program.release();
  return [...(found!.data as Float32Array)];
}

const mapped = async (path: string) => (await openModel(path, undefined, { mappedFromBytes: 0 })).tensors;

describe("a session that maps a file", () => {
  it("computes what a session that is fed computes, under any prefix", async () => {
    const fed = await compute(weights);
    const tensors = await mapped(whole);
    expect([...tensors.values()].some((weight) => weight instanceof NDArray)).toBe(false);
    expect(await compute(tensors)).toEqual(fed);
    expect(await compute(tensors, "teacher")).toEqual(fed);
  });

  it("widens halves as reading does", async () => {
    const rounded = new Map(
      Array.from(weights, ([name, { data, shape }]) => [
        name,
        float32(float16ToFloat32(float32ToFloat16(data)), shape),
      ]),
    );
    const tensors = await mapped(half);
    expect([...tensors.values()].map(({ dtype }) => dtype)).toEqual([...tensors.values()].map(() => "float16"));
    expect(await compute(tensors)).toEqual(await compute(rounded));
    expect(await readWeights(tensors)).toEqual(new Map([...tensors.keys()].map((name) => [name, rounded.get(name)!])));
  });

  it("takes weights from files of several folders, and some from memory", async () => {
    const [first, second] = [await mapped(whole), await mapped(half)];
    const mixed = new Map<string, Weight>();
    const values = await readWeights(second);
    const expected = new Map<string, NDArray>();
    [...first].forEach(([name, weight], i) => {
      mixed.set(name, [weight, second.get(name)!, values.get(name)!][i % 3]!);
      expected.set(name, i % 3 === 0 ? weights.get(name)! : values.get(name)!);
    });
    expect(await compute(mixed)).toEqual(await compute(expected));
  });
});

describe("weights", () => {
  it("of a small file are in memory, those of a large one stay where they are", async () => {
    expect([...(await openModel(whole)).tensors.values()].every((weight) => weight instanceof NDArray)).toBe(true);
  });

  it("are mapped only from files, as floats and at places that their type allows", () => {
    const source = { ...bytesInMemory(new Uint8Array(16)), path: "/somewhere/file" };
    const location = { source, offset: 8, byteLength: 4 };
    const tensor = { name: "w", dtype: "float32", shape: [1], location, read: async () => float32([0]) } as const;
    expect(isMappable(tensor)).toBe(true);
    expect(isMappable({ ...tensor, location: { ...location, offset: 6 } })).toBe(false);
    expect(isMappable({ ...tensor, dtype: "float16", location: { ...location, offset: 6 } })).toBe(true);
    expect(isMappable({ ...tensor, dtype: "float64" })).toBe(false);
    const { location: _, ...strided } = tensor;
    expect(isMappable(strided)).toBe(false);
    expect(isMappable({ ...tensor, location: { ...location, source: bytesInMemory(new Uint8Array(16)) } })).toBe(false);
  });
});
