/** DPM-Solver++(2M) as a sampler: its loop, and what it refuses. */

import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32, int32 } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { type GaussianProcess, scheduleOf } from "../../src/diffusion/process.ts";
import { respace } from "../../src/diffusion/schedule.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { input } from "../../src/graph/build.ts";
import { predictor } from "../../src/models/registry.ts";
import { Params } from "../../src/nn/params.ts";
import { type SampleImagesRequest, sampleImages } from "../../src/sampling/sample-images.ts";
import { rows } from "../conformance/models.ts";
import "../golden/matchers.ts";

const engine = cpuEngine({ threads: 1 });
const { model, weights } = rows.find(({ name }) => name === "DiT without")!;
const process: GaussianProcess = { kind: "gaussian", schedule: "linear", steps: 100 };
const { inChannels, inputSize } = model.config;
const SEED = 4;

const drawn = async (change: Partial<SampleImagesRequest>) =>
  (
    await sampleImages({
      engine,
      model,
      weights,
      process,
      labels: 4,
      seed: SEED,
      internalBatch: 4,
      cfgScale: 1,
      ...change,
    })
  ).images;

/** Algorithm 2 of the paper in float64, with its own symbols: x, h and r, and the prediction before. */
async function byHand(steps: string): Promise<number[]> {
  const shape = [4, inChannels, inputSize, inputSize];
  const inputs = { x: input("x", shape), t: input("t", [4]), y: input("y", [4], "int32") };
  const session = await engine.compile({ outputs: { noise: predictor(model, new Params())(inputs) } });
  const { alphasCumprod, timesteps } = respace(scheduleOf(process), steps);
  const size = inChannels * inputSize ** 2;
  let x = [0, 1, 2, 3].flatMap((index) => [...normals({ seed: SEED, purpose: "sample noise", step: 0, index }, size)]);
  const lambda = (a: number) => Math.log(Math.sqrt(a) / Math.sqrt(1 - a));
  let before: { data: number[]; lambda: number } | undefined;
  for (let i = timesteps.length - 1; i >= 0; i--) {
    const a = alphasCumprod[i]!;
    const t = float32(new Float32Array(4).fill(timesteps[i]!));
    const y = int32([0, 1, 2, 0]);
    const { noise } = await runAndRead(session, { ...Object.fromEntries(weights), x: float32(x, shape), t, y });
    const data = x.map((value, j) => (value - Math.sqrt(1 - a) * Number(noise!.data[j])) / Math.sqrt(a));
    if (i === 0) x = data;
    else {
      const next = alphasCumprod[i - 1]!;
      const h = lambda(next) - lambda(a);
      const r = before ? (lambda(a) - before.lambda) / h : Number.POSITIVE_INFINITY;
      const D = data.map((d, j) => (1 + 1 / (2 * r)) * d - (before ? before.data[j]! : 0) / (2 * r));
      const ratio = Math.sqrt(1 - next) / Math.sqrt(1 - a);
      x = x.map((value, j) => ratio * value - Math.sqrt(next) * (Math.exp(-h) - 1) * D[j]!);
    }
    before = { data, lambda: lambda(a) };
  }
  await session.release();
  return x;
}

describe("sampler dpm++2m", () => {
  test.each(["6", "ddim5", "2,2,1"])("with steps %s agrees with the algorithm in float64", async (steps) => {
    const images = await drawn({ sampler: "dpm++2m", steps });
    expect(images).toMatchGolden(float32(await byHand(steps), images.shape), { relative: 1e-4 });
    expect(images).not.toMatchGolden(await drawn({ sampler: "ddim", steps }), { relative: 1e-2 });
  });

  test("is, in a single step, what DDIM is: x_0", async () => {
    const [solver, ddim] = [await drawn({ sampler: "dpm++2m", steps: "1" }), await drawn({ steps: "1" })];
    expect(solver).toMatchGolden(ddim, { relative: 1e-5 });
  });

  test("has one evaluation a step, guidance and clipping", async () => {
    let evaluations = 0;
    const plain = await drawn({ sampler: "dpm++2m", steps: "5", onProgress: () => evaluations++ });
    expect(evaluations).toBe(5);
    expect(await drawn({ sampler: "dpm++2m", steps: "5", cfgScale: 4 })).not.toMatchGolden(plain, { relative: 1e-2 });
    const clipped = await drawn({ sampler: "dpm++2m", steps: "5", clip: true });
    expect(Math.max(...plain.data.map(Math.abs))).toBeGreaterThan(1);
    expect(Math.max(...clipped.data.map(Math.abs))).toBeLessThanOrEqual(1);
  });

  test("draws no noise, and says so", async () => {
    const result = drawn({ sampler: "dpm++2m", eta: 0.5 });
    await expect(result).rejects.toThrow(InputError);
    await expect(result).rejects.toThrow("dpm++2m draws no noise in its steps, got eta 0.5");
  });
});
