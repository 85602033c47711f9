/** The shipped digit models with a cache: much is saved, little changes. */
import { expect, test } from "vitest";
import { cacheLines } from "../../../src/cli/result-lines.ts";
import { processOf } from "../../../src/diffusion/process.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { preset } from "../../../src/models/presets.ts";
import type { CacheRecord } from "../../../src/sampling/caching/step-cache.ts";
import { sampleImages } from "../../../src/sampling/sample-images.ts";
import { chosenSampling, samplingSettings } from "../../../src/tasks/sampling-settings.ts";
import { resolveValues } from "../../../src/tasks/settings.ts";
import { loadModel } from "../../../src/weights/model-file.ts";

const engine = cpuEngine({ threads: 1 });

test.each([
  ["teacher", { steps: "ddim25" }, 25],
  ["teacher", { steps: "ddim25", sampler: "dpm++2m" }, 25],
  ["sit-teacher", { steps: "26", sampler: "euler" }, 25],
  ["sit-teacher", { steps: "13", sampler: "heun" }, 24],
] as const)(
  "%s, %o",
  async (name, settings, evaluations) => {
    const { model, tensors: weights, process } = await loadModel(`models/digits/${name}.safetensors`);
    if (!process) throw new Error("the file names no process");
    const draw = async (change: object) =>
      sampleImages({ engine, model, weights, process, labels: 4, seed: 3, internalBatch: 4, ...settings, ...change });
    const [plain, cached] = [await draw({}), await draw({ cache: 0.2, cacheImages: 2 })];
    const apart =
      cached.images.data.reduce((sum, x, i) => sum + Math.abs(x - plain.images.data[i]!), 0) / plain.images.size;
    const facts = cached.derived.cache as CacheRecord;
    // Of numbers in [−1, 1] whose mean size is 0.94.
    expect(apart).toBeGreaterThan(0);
    expect(apart).toBeLessThan(0.04);
    expect(facts.savedShare).toBeGreaterThan(0.25);
    expect(Object.values(facts.graphs).reduce((sum, count) => sum + count)).toBe(evaluations);
    expect(Object.keys(facts.graphs).length).toBeLessThanOrEqual(4);
    const [line] = cacheLines(cached.derived);
    expect(line).toMatch(
      /^cache 0\.2: attention computed in \d+ of 2[45] evaluations, MLPs in \d+ \(\d+% of all branches saved\); [2-4] graphs, 5\.62 MB resident$/,
    );
  },
  60_000,
);

test("the options of a cache are settings of a DiT and a SiT, not of a MAR", () => {
  const { config } = preset("DiT-Digits");
  const values = resolveValues(samplingSettings, { cache: "0.2", cacheImages: "4" });
  for (const kind of ["gaussian", "flow"] as const) {
    expect(chosenSampling(values, processOf(kind), config)).toEqual({ cache: 0.2, cacheImages: 4 });
  }
  expect(() => chosenSampling(values, processOf("tokens"), config)).toThrow(
    "`cache` does not apply to this model's sampler",
  );
  expect(chosenSampling(resolveValues(samplingSettings, { cacheCurves: "x.json" }), processOf("flow"), config)).toEqual(
    {
      cacheCurves: "x.json",
    },
  );
  expect(cacheLines({ timesteps: [0] })).toEqual([]);
});
