/** Gradients summed over micro-batches of any size are those of the whole batch; padding adds nothing. */
import { describe, expect, it } from "vitest";
import { float32, type NDArray } from "../../src/array/ndarray.ts";
import type { NamedArrays } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import type { Gradients, Trainer } from "../../src/training/trainer.ts";
import { drawTiny, tinyTrainer } from "./tiny.ts";

const engine = cpuEngine({ threads: 1 });
const BATCH = 7;

const draw = (microBatch: number) => drawTiny({ seed: 4, batchSize: BATCH, microBatch, labelDrop: 0.3 }, 3);

async function allGradients(trainer: Trainer): Promise<Map<string, Float32Array>> {
  const found = new Map<string, Float32Array>();
  for (const name of trainer.names) found.set(name, (await trainer.gradientOf(name)).data as Float32Array);
  return found;
}

async function gradientsOf(microBatch: number, given?: NamedArrays[]) {
  const batches = given ?? (await draw(microBatch));
  const trainer = await tinyTrainer(engine, microBatch);
  const totals: Gradients = await trainer.gradients(batches);
  return { totals, gradients: await allGradients(trainer) };
}

const whole = gradientsOf(BATCH);

describe("a batch of seven", () => {
  it("has a gradient for every trained weight", async () => {
    for (const [name, values] of (await whole).gradients)
      expect(Math.max(...values.map(Math.abs)), name).toBeGreaterThan(0);
  });

  it.each([2, 3, 4, 5, 6])("in micro-batches of %i, the last one padded, has the same gradient", async (microBatch) => {
    const batches = await draw(microBatch);
    expect(batches.length).toBe(Math.ceil(BATCH / microBatch));
    const [expected, found] = [await whole, await gradientsOf(microBatch, batches)];
    for (const [name, values] of expected.gradients) {
      const size = Math.max(...values.map(Math.abs));
      const apart = found.gradients.get(name)!.map((x, i) => Math.abs(x - values[i]!));
      expect(Math.max(...apart) / size, name).toBeLessThan(1e-6);
    }
    expect(Math.sqrt(found.totals.squaredNorm / expected.totals.squaredNorm)).toBeCloseTo(1, 6);
    for (const [name, value] of Object.entries(expected.totals.terms)) {
      expect(found.totals.terms[name]! / value, name).toBeCloseTo(1, 6);
    }
  });

  it("does not see what stands in padded rows", async () => {
    const batches = await draw(5);
    const rest = (name: string): NDArray => {
      const x = batches[1]![name]!;
      const size = x.size / 5;
      return float32(
        (x.data as Float32Array).map((value, i) => (i < 2 * size ? value : 3 * Math.sin(i))),
        x.shape,
      );
    };
    const last = { ...batches[1], xStart: rest("xStart"), noise: rest("noise") } as NamedArrays;
    expect([...last.weight!.data].map((w) => Number(w) > 0)).toEqual([true, true, false, false, false]);
    const [padded, other] = [await gradientsOf(5, batches), await gradientsOf(5, [batches[0]!, last])];
    expect(other.totals).toEqual(padded.totals);
    expect(other.gradients).toEqual(padded.gradients);
  });
});
