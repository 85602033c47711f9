/** Which layers of the families are int8, and that their images stay near those of float32. */
import { describe, expect, test } from "vitest";
import { int8Engine } from "../../src/engine/int8-engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { int8Layers } from "../../src/models/int8-layers.ts";
import { compileSampler } from "../../src/sampling/compile-sampler.ts";
import { weightSpecs } from "../../src/weights/model-file.ts";
import { type Row, rows } from "../conformance/models.ts";

const named = rows.map((row) => [row.name, row] as const);

async function sampled({ model, process, weights, samplers }: Row, isInt8: boolean): Promise<number[]> {
  const cpu = cpuEngine({ threads: 1 });
  const engine = isInt8 ? int8Engine(cpu, int8Layers(model)) : cpu;
  const [settings] = Object.values(samplers);
  const sampler = await compileSampler({ engine, model, weights, seed: 1, batch: 2 }, process, settings!);
  const y = Int32Array.of(0, 1);
  const images = await sampler.sample({ first: 0, y, rows: 2, onModelEvaluation: () => undefined });
  await sampler.release();
  return Array.from(images.data, Number);
}

describe.each(named)("int8 of a %s", (_, row) => {
  test("takes the layers of attention and MLP of every block and the layers of a head, and nothing else", () => {
    const { model } = row;
    const layers = int8Layers(model);
    const found = weightSpecs(model).flatMap(({ name }) => (name.endsWith("weight") && layers(name) ? [name] : []));
    const scopes = model.family.blockScopes(model.config);
    const inside = ["attn.qkv.weight", "attn.proj.weight", "mlp.fc1.weight", "mlp.fc2.weight"];
    const heads = model.family.headScopes?.(model.config) ?? [];
    expect(heads.length).toBe(model.family.name === "mar" ? 1 : 0);
    const head = ["mlp.0.weight", "mlp.2.weight", "adaLN_modulation.1.weight"];
    const of = (some: readonly string[], layers: readonly string[]) =>
      some.flatMap((scope) => layers.map((layer) => `${scope}.${layer}`));
    const linear = found.filter((name) => !/norm|_ln/.test(name));
    expect(linear.sort()).toEqual([...of(scopes, inside), ...of(heads, head)].sort());
  });

  test("samples images near those of float32", async () => {
    const [low, exact] = [await sampled(row, true), await sampled(row, false)];
    const size = Math.sqrt(exact.reduce((sum, x) => sum + x * x, 0));
    const error = Math.sqrt(exact.reduce((sum, x, i) => sum + (x - low[i]!) ** 2, 0));
    expect(error / size).toBeGreaterThan(0);
    expect(error / size).toBeLessThan(0.05);
  });
});
