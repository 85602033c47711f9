/** Every sampler on WebGPU against the CPU: states stay on the device, images are the same to 1e-4. */
import { afterAll, describe, expect, it } from "vitest";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { webgpuEngine } from "../../src/engine/onnx/webgpu-engine.ts";
import { sampleImages } from "../../src/sampling/sample-images.ts";
import type { SamplingSettings } from "../../src/sampling/sampling-settings.ts";
import { rows } from "../conformance/models.ts";
import "../golden/matchers.ts";

const gpu = webgpuEngine();
afterAll(() => gpu.release());

const samplings: Readonly<Record<string, readonly SamplingSettings[]>> = {
  gaussian: [
    { sampler: "ddpm", steps: "4" },
    { sampler: "ddim", steps: "ddim5", cfgScale: 1.5 },
    { sampler: "dpm++2m", steps: "4" },
    { sampler: "ddim", steps: "4", cache: 0.5, cacheImages: 2 },
  ],
  flow: [
    { sampler: "euler", steps: "4" },
    { sampler: "heun", steps: "3", cfgScale: 1.5 },
    { sampler: "dopri5" },
    { sampler: "euler-maruyama", steps: "4" },
    { sampler: "stochastic-heun", steps: "3", lastStep: "tweedie" },
  ],
  tokens: [
    { steps: "3", headSteps: "4" },
    { steps: "3", headSteps: "4", cfgScale: 2 },
  ],
};

describe.each(rows)("$name", ({ model, weights, process }) => {
  it.each(samplings[process.kind]!)("%o", async (settings) => {
    const request = { model, weights, process, seed: 3, labels: 3, internalBatch: 2, ...settings };
    const expected = await sampleImages({ ...request, engine: cpuEngine() });
    const found = await sampleImages({ ...request, engine: gpu });
    expect(found.images).toMatchGolden(expected.images, { relative: 1e-4 });
  });
});
