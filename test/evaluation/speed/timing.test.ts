/** What a time is the middle of, and what is left out of it. */
import { expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import { processOf } from "../../../src/diffusion/process.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { median, medianRatio, sampleUntil, timeInTurns, warmSampler } from "../../../src/evaluation/speed/timing.ts";
import { type Model, modelOf } from "../../../src/models/registry.ts";
import type { ImageSampler } from "../../../src/sampling/image-sampler.ts";
import type { SamplingSettings } from "../../../src/sampling/sampling-settings.ts";
import { weightSpecs } from "../../../src/weights/model-file.ts";
import { awakeWeights, tinyModel } from "../../training/tiny.ts";

const batch = { first: 0, y: new Int32Array(2), rows: 2 };
const images = float32([0, 0]);
const tinyMar = modelOf({
  ...{ family: "mar", inputSize: 4, patchSize: 2, inChannels: 1, numClasses: 3, bufferSize: 2 },
  ...{ encoderDepth: 1, encoderSize: 8, encoderHeads: 2, decoderDepth: 1, decoderSize: 8, decoderHeads: 2 },
  ...{ denoiserDepth: 2, denoiserSize: 6 },
});

/** Draws in so many evaluations, of which each runs one of the graphs. */
const samplerOf = (evaluations: number, evaluate: (i: number) => Promise<unknown>): ImageSampler => ({
  modelEvaluations: evaluations,
  ...{ settings: { steps: `${evaluations}`, cfgScale: 1 }, derived: {}, release: async () => {} },
  async sample({ onModelEvaluation }) {
    for (let i = 0; i < evaluations; i++) {
      await evaluate(i);
      onModelEvaluation();
    }
    return images;
  },
});

test("a median of an even number is between the two in the middle", () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 9]), median([])]).toEqual([2, 3, Number.NaN]);
});

test("a draw is cut where it is enough, and errors of the sampler are its own", async () => {
  const sampler = samplerOf(5, async () => {});
  expect(await sampleUntil(sampler, batch, (evaluations) => evaluations === 3)).toBe(3);
  expect(await sampleUntil(sampler, batch, () => false)).toBe(5);
  const failing = samplerOf(5, () => Promise.reject(new Error("broken")));
  await expect(sampleUntil(failing, batch, () => true)).rejects.toThrow("broken");
});

test("items take turns, backward in odd rounds, and each has a time for each round", async () => {
  const order: string[] = [];
  const seconds = await timeInTurns(["a", "b"], 3, async (item, round) => order.push(`${item}${round}`));
  expect(order).toEqual(["a0", "b0", "b1", "a1", "a2", "b2"]);
  expect(seconds.map((all) => all.length)).toEqual([3, 3]);
  expect(Math.min(...seconds.flat())).toBeGreaterThanOrEqual(0);
  expect(medianRatio([2, 9, 8], [1, 3, 2])).toBe(3);
});

/** Runs of each program of a sampler after it was warmed up. */
async function runsOfWarm(model: Model, sampling: SamplingSettings, signal?: AbortSignal) {
  const own = cpuEngine({ threads: 1 });
  const [runs, open]: [number[], Set<number>] = [[], new Set()];
  const engine: Engine = {
    ...own,
    async compile(graph, options) {
      const program = await own.compile(graph, options);
      const at = runs.push(0) - 1;
      open.add(at);
      return {
        run(inputs) {
          runs[at]!++;
          return program.run(inputs);
        },
        release() {
          open.delete(at);
          return program.release();
        },
      };
    },
  };
  const weights = awakeWeights(weightSpecs(model));
  const request = { engine, model, weights, seed: 0, batch: 2, ...(signal && { signal }) };
  const sampler = await warmSampler(request, processOf(model.family.process), sampling).catch((error: Error) => error);
  if (!(sampler instanceof Error)) await sampler.release();
  return { runs, open: open.size, sampler };
}

test("a sampler is warm when each of its graphs has run; of a MAR a whole batch is sampled", async () => {
  expect(await runsOfWarm(tinyModel(2), { steps: "ddim6" })).toMatchObject({ runs: [1], open: 0 });
  const { runs, open } = await runsOfWarm(tinyModel(2), { steps: "ddim6", cache: 1000, cacheImages: 2 });
  const [, ...graphs] = runs; // one measures the cache
  expect(graphs.length).toBeGreaterThan(1);
  expect([Math.min(...graphs), open]).toEqual([1, 0]);
  expect(graphs.reduce((sum, count) => sum + count)).toBeLessThan(6);
  expect((await runsOfWarm(tinyMar, { steps: "3", headSteps: "ddim5" })).runs).toEqual([3, 15, 3]);
});

test("a sampler that is stopped while it is warmed up is released", async () => {
  const signal = AbortSignal.abort(new Error("stopped"));
  const { sampler, open } = await runsOfWarm(tinyModel(2), { steps: "ddim6" }, signal);
  expect([(sampler as Error).message, open]).toEqual(["stopped", 0]);
});
