/** AdamW as programs and on the host, held against PyTorch's formula in float64; norms and sums over many weights. */
import { describe, expect, it } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { putAll, readAll } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import {
  type AdamWSettings,
  adamWDefaults,
  clipFactor,
  compileOptimizer,
  gradientName,
  hostAdamW,
  type OptimizerVectors,
  stateKinds,
  type UpdateScalars,
} from "../../src/training/adamw.ts";

const engine = cpuEngine({ threads: 1 });
const STEPS = 7;
/** Several weights, one of which is more than a piece of the CPU's elementwise programs. */
const shapes: readonly (readonly number[])[] = [[1], [3, 5], [(1 << 15) + 37], [64, 64], [2]];
const sizes = shapes.map((shape) => shape.reduce((product, n) => product * n));
const weights = shapes.map((shape, i) => ({ name: `w${i}`, shape }));
const SIZE = sizes.reduce((total, n) => total + n);

/** One vector's parts, each with its weight's shape. */
const partsOf = (vector: Float32Array, nameOf: (name: string) => string) =>
  weights.map(({ name, shape }, i) => {
    const start = sizes.slice(0, i).reduce((total, n) => total + n, 0);
    return [nameOf(name), float32(vector.slice(start, start + sizes[i]!), shape)] as const;
  });
const gradientParts = (vector: Float32Array) => putAll(engine, partsOf(vector, gradientName));

type Update = (vectors: OptimizerVectors, k: number, scalars: UpdateScalars) => Promise<void> | void;

/** One entry for each implementation: all of them pass the same cases. */
const implementations: Readonly<Record<string, (settings: AdamWSettings) => Promise<Update>>> = {
  programs: async (settings) => {
    const optimizer = await compileOptimizer(engine, weights, settings);
    return async (vectors, k, scalars) => {
      const state = await putAll(
        engine,
        stateKinds.flatMap((kind) => partsOf(vectors[kind], (name) => `${kind}.${name}`)),
      );
      const next = await readAll(await optimizer.update(state, await gradientParts(vectors.gradient), k, scalars));
      for (const kind of stateKinds) {
        vectors[kind].set(weights.flatMap(({ name }) => [...(next[`${kind}.${name}`]!.data as Float32Array)]));
      }
    };
  },
  host: async (settings) => (vectors, k, scalars) => hostAdamW(vectors, settings, k, scalars),
};

interface Case {
  readonly settings: AdamWSettings;
  readonly clip: number;
  readonly emaDecay: number;
  readonly learningRate: (k: number) => number;
}

const base: Case = { settings: adamWDefaults, clip: 1, emaDecay: 0.9, learningRate: () => 1e-2 };
const cases: Readonly<Record<string, Case>> = {
  plainly: base,
  "with weight decay": { ...base, settings: { ...adamWDefaults, weightDecay: 0.3 } },
  "with clipped gradients": { ...base, clip: 0.03 },
  "with a learning rate that changes": { ...base, learningRate: (k) => 1e-2 / k },
  "with other betas and a large epsilon": {
    ...base,
    settings: { beta1: 0.5, beta2: 0.9, epsilon: 1e-2, weightDecay: 0.01 },
  },
  "with an average that stands still": { ...base, emaDecay: 1 },
  "with an average that follows at once": { ...base, emaDecay: 0 },
};

const draw = (purpose: string, step: number) => normals({ seed: 3, purpose, step, index: 0 }, SIZE);

/** How large the gradients of weight i are: 1e-4 … 100. */
const scaleOf = (i: number): number => 10 ** ((i % 7) - 4);

/** Gradients of every size that occurs, exact zeros among them. */
function gradientAt(k: number): Float32Array {
  return draw("gradient", k).map((g, i) => (i % 11 === 0 ? 0 : g * scaleOf(i)));
}

const start = (): OptimizerVectors => ({
  weights: draw("weights", 0),
  gradient: new Float32Array(SIZE),
  firstMoment: new Float32Array(SIZE),
  secondMoment: new Float32Array(SIZE),
  ema: draw("weights", 0),
});

/** torch.optim.AdamW (Loshchilov and Hutter 2019, algorithm 2) and an average, in float64. */
function formula({ settings, clip, emaDecay, learningRate }: Case) {
  const { beta1, beta2, epsilon, weightDecay } = settings;
  const w = Float64Array.from(start().weights);
  const [m, v, ema] = [new Float64Array(SIZE), new Float64Array(SIZE), w.slice()];
  for (let k = 1; k <= STEPS; k++) {
    const lr = learningRate(k);
    gradientAt(k).forEach((raw, i) => {
      const g = raw * clip;
      w[i]! -= lr * weightDecay * w[i]!;
      m[i] = beta1 * m[i]! + (1 - beta1) * g;
      v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
      w[i]! -= (lr * (m[i]! / (1 - beta1 ** k))) / (Math.sqrt(v[i]! / (1 - beta2 ** k)) + epsilon);
      ema[i] = emaDecay * ema[i]! + (1 - emaDecay) * w[i]!;
    });
  }
  return { weights: w, firstMoment: m, secondMoment: v, ema };
}

/** Largest difference, each measured against the element or what its terms were as large as. */
function worst(found: Float32Array, expected: Float64Array, scale: (i: number) => number): number {
  let largest = 0;
  for (const [i, b] of expected.entries()) {
    const apart = Math.abs(found[i]! - b) / Math.max(Math.abs(b), scale(i));
    largest = Math.max(largest, Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart);
  }
  return largest;
}

describe.each(Object.keys(implementations))("AdamW by %s moves weights as the formula does", (name) => {
  it.each(Object.keys(cases))("%s", async (title) => {
    const one = cases[title]!;
    const update = await implementations[name]!(one.settings);
    const vectors = start();
    for (let k = 1; k <= STEPS; k++) {
      vectors.gradient.set(gradientAt(k));
      await update(vectors, k, { clip: one.clip, emaDecay: one.emaDecay, learningRate: one.learningRate(k) });
    }
    const expected = formula(one);
    expect(worst(vectors.weights, expected.weights, () => 1)).toBeLessThan(1e-6);
    expect(worst(vectors.ema, expected.ema, () => 1)).toBeLessThan(1e-6);
    expect(worst(vectors.firstMoment, expected.firstMoment, (i) => one.clip * scaleOf(i))).toBeLessThan(1e-6);
    expect(worst(vectors.secondMoment, expected.secondMoment, (i) => (one.clip * scaleOf(i)) ** 2)).toBeLessThan(1e-6);
  });
});

describe("what clipping is computed from", () => {
  it("the squared norm sums over all weights", async () => {
    const optimizer = await compileOptimizer(engine, weights);
    const x = gradientAt(1);
    const expected = x.reduce((total, value) => total + value * value, 0);
    expect((await optimizer.squaredNorm(await gradientParts(x))) / expected).toBeCloseTo(1, 5);
  });

  it("the factor is PyTorch's: never above 1, and the norm comes down to the largest one allowed", () => {
    expect(clipFactor(0, 1)).toBe(1);
    expect(clipFactor(0.5, 1)).toBe(1);
    expect(clipFactor(4, 1)).toBe(1 / (4 + 1e-6));
    expect(clipFactor(4, 2) * 4).toBeCloseTo(2, 5);
  });
});

it("accumulating adds every element of all weights, exactly as float32 does", async () => {
  const optimizer = await compileOptimizer(engine, weights);
  const [total, x] = [draw("total", 0), draw("addend", 0)];
  const found = await readAll(await optimizer.accumulate(await gradientParts(total), await gradientParts(x)));
  const expected = total.map((a, i) => Math.fround(a + x[i]!));
  expect(weights.flatMap(({ name }) => [...(found[gradientName(name)]!.data as Float32Array)])).toEqual([...expected]);
});
