import { describe, expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import { type Process, processOf } from "../../../src/diffusion/process.ts";
import { runAndRead } from "../../../src/engine/engine.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { countingEngine, modelCost } from "../../../src/evaluation/speed/model-cost.ts";
import { type Runner, type SpeedRequest, samplerSpeeds } from "../../../src/evaluation/speed/sampler-speed.ts";
import { median } from "../../../src/evaluation/speed/timing.ts";
import { input, linear, parameter } from "../../../src/graph/build.ts";
import { symbolicDim } from "../../../src/graph/dim.ts";
import { type Model, modelOf } from "../../../src/models/registry.ts";
import { runOnly } from "../../../src/nn/run-block.ts";
import { HEAD_ROWS } from "../../../src/sampling/token-sampler.ts";
import { weightSpecs } from "../../../src/weights/model-file.ts";
import { countedEngine } from "../../engine/counted-engine.ts";
import { awakeWeights, tinyModel } from "../../training/tiny.ts";

const engine = countedEngine(cpuEngine({ threads: 1 }));
const tinyMar = modelOf({
  ...{ family: "mar", inputSize: 4, patchSize: 2, inChannels: 1, numClasses: 3, bufferSize: 2 },
  ...{ encoderDepth: 1, encoderSize: 8, encoderHeads: 2, decoderDepth: 1, decoderSize: 8, decoderHeads: 2 },
  ...{ denoiserDepth: 2, denoiserSize: 6 },
});

function runnerOf(model: Model, more: Partial<Runner> = {}): Runner {
  const process: Process = processOf(model.family.process);
  return { model, weights: awakeWeights(weightSpecs(model)), process, sampling: { steps: "ddim5" }, ...more };
}

const speeds = (runners: Runner[], more: Partial<SpeedRequest> = {}) =>
  samplerSpeeds({ engine, runners, batches: [2], rounds: 1, seed: 0, ...more });

test("an engine counts what its sessions run, by the sizes they are fed", async () => {
  const counting = countingEngine(engine);
  const out = linear(input("x", [symbolicDim("n"), 8]), parameter("w", [4, 8]));
  const session = await counting.compile({ outputs: { out } });
  const w = float32(new Float32Array(32), [4, 8]);
  for (const n of [3, 5, 3]) await runAndRead(session, { w, x: float32(new Float32Array(n * 8), [n, 8]) });
  await session.release();
  expect(counting.count).toEqual({ runs: 3, macs: 11 * 8 * 4 });
});

describe("the cost of an image", () => {
  test.each([
    [2, 2],
    [1, 1],
  ])("with guidance %d is that of %d evaluations at each step", async (cfgScale, halves) => {
    const model = tinyModel(3);
    const { speeds: found } = await speeds([runnerOf(model, { sampling: { steps: "ddim5", cfgScale } })]);
    const { macsPerImage, evaluations } = found[0]![0]!;
    expect([evaluations, macsPerImage]).toEqual([5, 5 * halves * modelCost(model).macs]);
  });

  test("of some blocks is less, and the same where the draw was cut", async () => {
    const [model, runBlock] = [tinyModel(3), runOnly([0, 2])];
    const { speeds: found } = await speeds([runnerOf(model, { runBlock })], { iterations: 2 });
    expect(found[0]![0]).toMatchObject({
      ...{ evaluations: 5, isExtrapolated: true },
      macsPerImage: 5 * 2 * modelCost(model, runBlock).macs,
    });
  });

  test("of a MAR is that of its transformer, which sees few tokens, and of its head, whose rows are padded", async () => {
    const sampling = { steps: "4", headSteps: "ddim5", cfgScale: 1 };
    const { speeds: found } = await speeds([runnerOf(tinyMar, { sampling })]);
    const { macsPerImage, headRuns, evaluations, batch } = found[0]![0]!;
    const { macs, headMacs } = modelCost(tinyMar);
    expect([evaluations, headRuns]).toEqual([4, 4 * 5]);
    const head = (4 * 5 * HEAD_ROWS * headMacs!) / batch; // four iterations, five steps
    expect(macsPerImage - head).toBeGreaterThan(0.5 * 4 * macs);
    expect(macsPerImage - head).toBeLessThan(4 * macs);
  });
});

describe("speeds", () => {
  test("belong together: images, iterations and rounds, for each model and batch", async () => {
    const drawn: string[] = [];
    const runners = [runnerOf(tinyModel(2)), runnerOf(tinyModel(4))];
    const more = { batches: [2, 4], rounds: 3, onStage: (what: string) => drawn.push(what) };
    const report = await speeds(runners, more);
    expect(report.speeds.map((of) => of.map(({ batch }) => batch))).toEqual([
      [2, 4],
      [2, 4],
    ]);
    for (const speed of report.speeds.flat()) {
      const { batch, roundSeconds, iterationsPerSecond, imagesPerSecond, peakBytes, compileSeconds } = speed;
      expect(roundSeconds).toHaveLength(3);
      expect(iterationsPerSecond).toBe(5 / median(roundSeconds));
      expect(imagesPerSecond).toBeCloseTo(batch / median(roundSeconds), 6);
      expect(Math.min(peakBytes / 1e6, compileSeconds)).toBeGreaterThan(0);
    }
    expect(report.settings[1]).toMatchObject({ steps: "ddim5", sampler: "ddim", cfgScale: 2 });
    const rounds = drawn.filter((what) => what.includes("round"));
    expect(rounds.slice(0, 5)).toEqual([
      ...["A, batch 2", "A, batch 4", "B, batch 2", "B, batch 4"].map((name) => `model ${name}: round 1 of 3`),
      "model B, batch 4: round 2 of 3",
    ]);
  });

  test("of a batch of one are refused, and so is a part of a draw whose parts differ", async () => {
    await expect(speeds([runnerOf(tinyModel())], { batches: [2, 1] })).rejects.toThrow(
      "speed: a batch has at least 2 images, got 1; give another size",
    );
    const sampling = { steps: "4", headSteps: "ddim5" };
    await expect(speeds([runnerOf(tinyMar, { sampling })], { iterations: 2 })).rejects.toThrow(/its first iterations/);
  });

  test("end with the signal's reason", async () => {
    const stopped = speeds([runnerOf(tinyModel())], { signal: AbortSignal.abort(new Error("enough")) });
    await expect(stopped).rejects.toThrow("enough");
  });
});

test("a cache saves arithmetic, counted without what was measured for it, and its draws are not cut", async () => {
  const model = tinyModel(2);
  const cached = (cache: number) => runnerOf(model, { sampling: { steps: "ddim5", cache, cacheImages: 2 } });
  const { speeds: found, derived } = await speeds([runnerOf(model), cached(1e3)]);
  const [plain, saving] = found.map(([speed]) => speed!.macsPerImage) as [number, number];
  expect(derived[1]!.cache).toBeDefined();
  expect(plain).toBe(5 * 2 * modelCost(model).macs);
  expect(saving).toBeLessThan(0.8 * plain);
  const { programs } = engine.counters;
  const once = await speeds([cached(1e3)]);
  const { graphs } = once.derived[0]!.cache as { graphs: object };
  expect(engine.counters.programs - programs).toBe(1 + 2 * Object.keys(graphs).length); // measured once, built twice
  await expect(speeds([cached(1e3)], { iterations: 2 })).rejects.toThrow(/with a cache some compute less than others/);
});
