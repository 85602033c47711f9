import { beforeAll, describe, expect, test } from "vitest";
import { float32, int32, type NDArray, sizeOf } from "../../src/array/ndarray.ts";
import { uniforms } from "../../src/array/random.ts";
import { imagesInMemory, type TrainingSet } from "../../src/data/training-set.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { input, sum } from "../../src/graph/build.ts";
import { gradient } from "../../src/graph/gradient.ts";
import { Params } from "../../src/nn/params.ts";
import { adamWDefaults } from "../../src/training/adamw.ts";
import {
  type ClassifierSettings,
  classifierLoss,
  classifierTask,
  crossEntropy,
  drawShiftedBatch,
  shiftInto,
} from "../../src/training/classifier.ts";
import { valuesOf } from "./values-of.ts";
import "../golden/matchers.ts";

const engine = cpuEngine({ threads: 1 });

describe("cross-entropy", () => {
  const values = [1, 2, 3, -1, 0.5, 0, 1000, 998, -1000, 5, 5, 5];
  const labels = int32([2, 0, 1, 1]);
  const softmax = (row: readonly number[]) => {
    const powers = row.map((x) => Math.exp(x - Math.max(...row)));
    return powers.map((x) => x / powers.reduce((a, b) => a + b));
  };
  const rows = [0, 1, 2, 3].map((i) => values.slice(3 * i, 3 * i + 3));

  test("is −log softmax at the label, also for logits whose exponential overflows", async () => {
    const [logits, y] = [input("logits", [4, 3]), input("y", [4], "int32")];
    const session = await engine.compile({ outputs: { loss: crossEntropy(logits, y) } });
    const { loss } = await runAndRead(session, { logits: float32(values, [4, 3]), y: labels });
    const expected = rows.map((row, i) => -Math.log(softmax(row)[labels.data[i]!]!));
    expect(expected[2]).toBeCloseTo(2.127, 3);
    expect(loss!).toMatchGolden(float32(expected), { relative: 1e-6 });
  });

  test("has the gradient softmax − one-hot", async () => {
    const [logits, y] = [input("logits", [4, 3]), input("y", [4], "int32")];
    const [found] = gradient(sum(crossEntropy(logits, y)), [logits]);
    const session = await engine.compile({ outputs: { found: found! } });
    const results = await runAndRead(session, { logits: float32(values, [4, 3]), y: labels });
    const expected = rows.flatMap((row, i) => softmax(row).map((p, k) => p - (k === labels.data[i] ? 1 : 0)));
    expect(results.found!).toMatchGolden(float32(expected, [4, 3]), { relative: 1e-6 });
  });
});

const shape = [1, 8, 8] as const;

/** Bars: class 0 upright, class 1 level, at random places. */
const bars: TrainingSet = (() => {
  const images = new Float32Array(40 * 64).fill(-1);
  const at = uniforms({ seed: 4, purpose: "bars", step: 0, index: 0 }, 40);
  for (let n = 0; n < 40; n++) {
    const place = 2 + Math.floor(at[n]! * 4);
    for (let i = 2; i < 6; i++) images[n * 64 + (n % 2 === 0 ? i * 8 + place : place * 8 + i)] = 1;
  }
  const labels = int32(Int32Array.from({ length: 40 }, (_, i) => i % 2));
  return imagesInMemory(float32(images, [40, ...shape]), labels, 2);
})();

describe("image shifts", () => {
  test.each([
    [0, 0],
    [2, 0],
    [-1, 2],
    [2, -2],
    [-2, -1],
  ])("moving by %i down and %i right takes every pixel along and leaves background", (down, right) => {
    const image = Float32Array.from({ length: 2 * 5 * 4 }, (_, i) => i);
    const target = new Float32Array(image.length).fill(99);
    shiftInto(target, image, [2, 5, 4], [down, right]);
    const expected = image.map((_, i) => {
      const [c, y, x] = [Math.floor(i / 20), Math.floor(i / 4) % 5, i % 4];
      const [fromY, fromX] = [y - down, x - right];
      return fromY >= 0 && fromY < 5 && fromX >= 0 && fromX < 4 ? image[c * 20 + fromY * 4 + fromX]! : -1;
    });
    expect([...target]).toEqual([...expected]);
  });

  const settings = { seed: 5, batchSize: 40, shift: 2 };
  const movesOf = async (step: number) => {
    const { x, y } = await drawShiftedBatch(bars, settings, step);
    const originals = await drawShiftedBatch(bars, { ...settings, shift: 0 }, step);
    expect([...y!.data]).toEqual([...originals.y!.data]);
    return Array.from({ length: 40 }, (_, row) => {
      const original = originals.x!.rows(row, row + 1).data as Float32Array;
      const found: string[] = [];
      for (let move = 0; move < 25; move++) {
        const [down, right] = [Math.floor(move / 5) - 2, (move % 5) - 2];
        const target = new Float32Array(64);
        shiftInto(target, original, shape, [down, right]);
        if (String(target) === String(x!.rows(row, row + 1).data)) found.push(`${down},${right}`);
      }
      return found;
    });
  };

  test("each image of a batch has its own move of at most two pixels", async () => {
    const moves = await movesOf(0);
    expect(moves.every((found) => found.length >= 1)).toBe(true);
    expect(new Set(moves.map(String)).size).toBeGreaterThan(10);
  });

  test("an image's move depends on seed, step and place in the batch, not on the batch's size", async () => {
    const drawn = async (change: object) => [...(await drawShiftedBatch(bars, { ...settings, ...change }, 0)).x!.data];
    expect(await drawn({ batchSize: 20 })).toEqual((await drawn({})).slice(0, 20 * 64));
    expect(await movesOf(3)).toEqual(await movesOf(3));
    expect(await movesOf(3)).not.toEqual(await movesOf(4));
  });
});

const config = { imageSize: 8, imageChannels: 1, channels: [4, 8], featureSize: 16, numClasses: 2 } as const;
const settings: ClassifierSettings = {
  seed: 0,
  shift: 1,
  steps: 80,
  batchSize: 16,
  learningRate: { base: 0.01, kind: "constant", final: 0, warmupSteps: 0 },
  clipNorm: 1,
  emaDecay: 0.99,
  emaWarmup: true,
  adamw: adamWDefaults,
};

describe("training the classifier", () => {
  let undisturbed: Awaited<ReturnType<typeof classifierTask>>;
  const reports: { loss: number; accuracy: number }[] = [];

  beforeAll(async () => {
    undisturbed = await classifierTask(engine, bars, settings, config);
    for (let k = 0; k < settings.steps; k++) {
      const { terms } = await undisturbed.step(k);
      reports.push({ loss: terms.loss!, accuracy: terms.accuracy! });
    }
  });

  test("learns to tell upright from level bars wherever they are", () => {
    expect(reports[0]!.loss).toBeGreaterThan(0.4);
    expect(reports.at(-1)!.loss).toBeLessThan(0.1);
    expect(reports.slice(-5).every(({ accuracy }) => accuracy === 1)).toBe(true);
  });

  test("goes on from a checkpoint to the same weights, bit for bit", async () => {
    const first = await classifierTask(engine, bars, settings, config);
    for (let k = 0; k < 7; k++) await first.step(k);
    const { files, metadata, state } = first.checkpoint();
    const read: Record<string, Map<string, NDArray>> = {};
    for (const [name, arrays] of Object.entries(files)) read[name] = await valuesOf(arrays);
    const second = await classifierTask(engine, bars, settings, config);
    await second.restore({ files: read, metadata, state: { ...state, step: 7 } });
    for (let k = 7; k < settings.steps; k++) await second.step(k);
    for (const kind of ["weights", "ema"] as const) {
      const expected = await valuesOf(undisturbed.checkpoint().files[kind]);
      for (const [name, x] of await valuesOf(second.checkpoint().files[kind]))
        expect([...x.data], name).toEqual([...expected.get(name)!.data]);
    }
  });

  test("reports the share of a batch that it gets right", async () => {
    const p = new Params();
    const { terms } = classifierLoss(p, config, 4);
    const session = await engine.compile({ outputs: { ...terms } });
    // No feature is active, so the logits are the last bias: every image is taken for class 1.
    const feeds = Object.fromEntries(
      p.specs().map(({ name, shape }) => [name, float32(new Float32Array(sizeOf(shape)), shape)]),
    );
    const bias = float32([-1, 1]);
    const x = float32(new Float32Array(4 * 64), [4, 1, 8, 8]);
    const { accuracy } = await runAndRead(session, { ...feeds, "fc2.bias": bias, x, y: int32([1, 0, 1, 1]) });
    expect(accuracy!.data[0]).toBeCloseTo(0.75, 6);
  });
});
