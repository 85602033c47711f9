import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { adamWDefaults, compileCalibrationLoss, lockFolder, parseGroups, randomMask, trainTask } from "tinyfusion";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { activationsOf, BINS } from "../../src/pipeline/activations.ts";
import { chosenMask, learnedMask } from "../../src/pipeline/masks.ts";
import { pickedLosses, randomMasks } from "../../src/pipeline/random-masks.ts";
import { trainedTrial } from "../../src/pipeline/trained-trial.ts";
import { type Bench, budget, plantBench } from "./bench.ts";

let bench: Bench;
beforeAll(async () => {
  bench = await plantBench("study-masks-");
});
afterAll(() => rmSync(bench.folder, { recursive: true }));

describe("masks", () => {
  test("by every method keep half of the blocks, one of each pair or any", async () => {
    for (const method of [
      "shortgpt",
      "flux-lite",
      "sensitivity",
      "loss-greedy",
      "taylor",
      "random-median",
      "min-loss",
    ] as const) {
      const { kept } = await bench.result(chosenMask(method, bench.benchmark, 0, budget));
      expect([method, kept.map((block) => Math.floor(block / 2))]).toEqual([method, [0, 1]]);
      expect((await bench.result(chosenMask(method, bench.benchmark, 0, budget, "free"))).kept).toHaveLength(2);
    }
  });

  test("that are learned hold the moments of the search, and are one trial for equal settings", async () => {
    const trial = learnedMask(bench.benchmark, 1, budget);
    expect(learnedMask(bench.benchmark, 1, budget, { groups: "1:2", steps: budget.searchSteps }).file).toBe(trial.file);
    const others = [{ delta: "full" }, { groups: "2:4" }, { steps: 2 }, { gateRate: 0.1 }] as const;
    const files = others.map((given) => learnedMask(bench.benchmark, 1, budget, given).file);
    expect(new Set([trial.file, ...files]).size).toBe(5);
    const { kept, history, confidence, seconds } = await bench.result(trial);
    expect(kept.map((block) => Math.floor(block / 2))).toEqual([0, 1]);
    expect(history!.map(({ step }) => step)).toEqual([1, 2, 3]);
    expect([history!.at(-1)!.kept, confidence!.length, seconds > 0]).toEqual([kept, 2, true]);
    expect(history![0]!.probabilities).toHaveLength(4);
  });
});

describe("losses of random masks", () => {
  test("are those of the calibration loss, and their picks the smallest, the middle and the largest", async () => {
    const { losses, picks } = await bench.result(randomMasks("losses", bench.benchmark, budget));
    const { teacher, data } = await bench.benchmark.open(bench.context());
    const settings = { seed: 0, examples: budget.calibration, process: teacher.process };
    const loss = await compileCalibrationLoss(bench.context().engine, teacher.model, data, settings, teacher.tensors);
    const masks = Array.from({ length: 5 }, (_, i) => randomMask(parseGroups("1:2", 4), 0, i));
    const expected: number[] = [];
    for (const mask of masks) expected.push(await loss.lossOf(mask));
    expect(losses).toEqual(expected);
    const sorted = expected.toSorted((a, b) => a - b);
    expect([picks.min.loss, picks.median.loss, picks.max.loss]).toEqual([sorted[0], sorted[2], sorted[4]]);
    expect(await loss.lossOf(picks.median.kept)).toBe(picks.median.loss);
    const mask = chosenMask("oracle", bench.benchmark, 0, budget);
    const picked = await bench.result(pickedLosses("losses", bench.benchmark, budget, [["oracle", mask]]));
    expect(picked).toEqual({ oracle: await loss.lossOf([0, 3]) });
    await loss.release();
  });
});

describe("activations", () => {
  test("are counted once each, in standard deviations of their sample", async () => {
    const { teacher, data } = await bench.benchmark.open(bench.context());
    const found = await activationsOf(bench.context(), teacher, data, [0, 3], 20);
    expect(found.map(({ block }) => block)).toEqual([0, 3]);
    for (const { counts, extremeShare, extremeEnergy, largest } of found) {
      const total = counts.reduce((sum, count) => sum + count, 0);
      expect([counts.length, total]).toEqual([BINS, 20 * 4 * 8]);
      // Bins are a quarter of a standard deviation wide, so that 2σ is an edge.
      const outside = counts.filter((_, bin) => bin < 32 || bin >= 48).reduce((sum, count) => sum + count, 0);
      expect(extremeShare).toBeCloseTo(outside / total, 6);
      expect(extremeEnergy).toBeGreaterThanOrEqual(extremeShare * 4 - 1e-9);
      const farthest = Math.max(
        39 - counts.findIndex((count) => count > 0),
        counts.findLastIndex((count) => count > 0) - 40,
      );
      expect(Math.floor(largest * 4)).toBe(farthest);
    }
  });
});

describe("trained weights", () => {
  const trialOf = () =>
    trainedTrial({
      study: "planted",
      variant: "trained",
      dataName: "pictures",
      settings: {
        seed: 0,
        steps: 3,
        batchSize: 4,
        microBatch: 4,
        labelDrop: 0.1,
        recompute: false,
        clipNorm: 1,
        emaDecay: 0.9,
        emaWarmup: true,
        adamw: adamWDefaults,
        learningRate: { base: 1e-3, kind: "constant" as const, final: 0, warmupSteps: 0 },
        process: { kind: "gaussian" as const, schedule: "linear" as const, steps: 1000 },
      },
      data: () => data,
      task: async (context, images, settings) => trainTask(context.engine, bench.benchmark.model, images, settings),
    });
  let data: Awaited<ReturnType<Bench["benchmark"]["open"]>>["data"];
  beforeAll(async () => {
    data = (await bench.benchmark.open(bench.context())).data;
  });

  test("are trained again to the same bits if they are gone, and refused if they are others", async () => {
    const trial = trialOf();
    const { weightsSha256, dataSha256 } = await bench.result(trial);
    expect(dataSha256).toBe(data.sha256);
    const path = await trial.weights(bench.context());
    const bytes = readFileSync(path);
    rmSync(join(path, ".."), { recursive: true });
    expect(await trial.weights(bench.context())).toBe(path);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(weightsSha256).toMatch(/^[0-9a-f]{64}$/);
    writeFileSync(path, bytes.subarray(1));
    await expect(trial.weights(bench.context())).rejects.toThrow(
      /expected the weights that planted\/cells\/trained-s0\.json was found/,
    );
  });

  test("are trained once: a process that finds another one at it waits, and trains if that gave up", async () => {
    const trial = trialOf();
    const work = join(bench.folder, "work");
    rmSync(work, { recursive: true });
    const path = await trial.weights(bench.context());
    rmSync(work, { recursive: true });
    const release = lockFolder(join(path, ".."));
    const stop = new AbortController();
    const stopped = expect(trial.weights(bench.context(stop.signal))).rejects.toThrow("stopped");
    stop.abort(new Error("stopped"));
    await stopped;
    const waiting = trial.weights(bench.context());
    await delay(50);
    expect(existsSync(path)).toBe(false);
    release();
    expect([await waiting, existsSync(path)]).toEqual([path, true]);
  });

  test("that were stopped continue where they were", async () => {
    const trial = trialOf();
    const path = await bench.result(trial).then(() => join(bench.folder, "work"));
    rmSync(path, { recursive: true });
    await expect(trial.weights(bench.context(AbortSignal.abort(new Error("stopped"))))).rejects.toThrow("stopped");
    expect(readFileSync(await trial.weights(bench.context())).length).toBeGreaterThan(0);
  });
});
