import { describe, expect, it } from "vitest";
import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import {
  generateTokens,
  type MaskedTokens,
  rowNoise,
  tokenNoise,
} from "../../src/diffusion/masking/generate-tokens.ts";
import {
  drawMaskRatio,
  maskLengths,
  maskRatioAt,
  tokenOrders,
  tokenRows,
  visiblePlaces,
} from "../../src/diffusion/masking/masks.ts";
import { drawTokens, meanOverTokens } from "../../src/diffusion/masking/token-loss.ts";
import { namedSchedule } from "../../src/diffusion/schedule.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { input } from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";

const keysOf = (indices: readonly number[]) =>
  indices.map((index) => (purpose: string) => ({ seed: 3, purpose, step: 11, index }));
const ordersOf = (indices: readonly number[], tokens: number) =>
  tokenOrders(
    keysOf(indices).map((key) => key("token order")),
    tokens,
  );

describe("mask ratio", () => {
  it("is drawn once for each step, between the least ratio and 1, as often as the density says", () => {
    const ratios = Array.from({ length: 4000 }, (_, step) => drawMaskRatio({ seed: 1, step }));
    expect(drawMaskRatio({ seed: 1, step: 17 })).toBe(ratios[17]);
    expect(new Set(ratios).size).toBeGreaterThan(3900);
    expect(Math.min(...ratios)).toBeGreaterThanOrEqual(0.7);
    expect(Math.max(...ratios)).toBeLessThanOrEqual(1);
    // The mean of a normal distribution cut to [−1.2σ, 0]: −σ (φ(0) − φ(1.2)) / (Φ(0) − Φ(−1.2)).
    const mean = 1 - (0.25 * (0.3989423 - 0.1941861)) / (0.5 - 0.1150697);
    expect(Math.abs(ratios.reduce((a, b) => a + b, 0) / ratios.length - mean)).toBeLessThan(0.005);
  });

  it("follows other settings", () => {
    expect(maskRatioAt(0, { mean: 0.6, deviation: 0.1, min: 0.2 })).toBeCloseTo(0.2, 12);
    expect(maskRatioAt(1, { mean: 0.6, deviation: 0.1, min: 0.2 })).toBeCloseTo(0.6, 12);
  });
});

describe("mask lengths", () => {
  it("leave every iteration at least one token", () => {
    for (let tokens = 1; tokens <= 50; tokens++) {
      for (let iterations = 1; iterations <= tokens; iterations++) {
        const lengths = [tokens, ...maskLengths(tokens, iterations).slice(0, -1), 0];
        const generated = lengths.slice(1).map((masked, k) => lengths[k]! - masked);
        expect(Math.min(...generated), `${iterations} of ${tokens}`).toBeGreaterThanOrEqual(1);
      }
    }
  });

  it.each([0, 1.5, 17])("%d iterations for 16 tokens are refused", (iterations) => {
    expect(() => maskLengths(16, iterations)).toThrow("16 tokens are generated in 1 to 16 iterations");
  });
});

describe("places", () => {
  it("are the buffer and the visible tokens, and the masked ones are the rest", () => {
    const orders = [Int32Array.of(3, 0, 2, 1), Int32Array.of(1, 2, 3, 0)];
    expect(visiblePlaces(orders, 2, 2)).toEqual(int32([0, 1, 3, 4, 0, 1, 2, 5], [2, 4]));
    expect([...tokenRows(orders, 0, 2)]).toEqual([0, 3, 5, 6]);
    expect(visiblePlaces(orders, 4, 2).shape).toEqual([2, 2]);
  });

  it("orders are permutations that depend on the example only", () => {
    const [a, b] = ordersOf([8, 9], 30);
    expect([...a!].sort((x, y) => x - y)).toEqual(Array.from({ length: 30 }, (_, i) => i));
    expect(ordersOf([9], 30)[0]).toEqual(b);
    expect(a).not.toEqual(b);
  });
});

describe("draws of a training batch", () => {
  const settings = { masked: 5, bufferSize: 2, tokenSize: 3, copies: 2, steps: 1000 };
  const draw = (indices: readonly number[], masked: number) =>
    drawTokens(ordersOf(indices, 8), keysOf(indices), { ...settings, masked });

  /** What was drawn for each (image, token, copy). */
  function byToken({ token, index, noise }: ReturnType<typeof draw>): Map<string, string> {
    const count = token.size / settings.copies;
    return new Map(
      Array.from(token.data, (row, m) => [
        `${Math.floor(row / 8)} ${row % 8} ${Math.floor(m / count)}`,
        `${index.data[m]} ${noise.rows(m, m + 1).data}`,
      ]),
    );
  }

  it("are copies of the whole batch, each with draws of its own", () => {
    const { token, sample, index, noise } = draw([4, 5, 6], 5);
    expect(token.size).toBe(2 * 3 * 5);
    expect(token.data.slice(0, 15)).toEqual(token.data.slice(15));
    expect(sample.data).toEqual(token.data.map((row) => Math.floor(row / 8)));
    expect(new Set(index.data).size).toBeGreaterThan(25);
    expect(new Set(noise.data).size).toBeGreaterThan(85);
  });

  it("of an image depend neither on its neighbours nor on how much is masked", () => {
    const [whole, alone, fewer] = [draw([4, 5, 6], 5), draw([5], 5), draw([4, 5, 6], 2)].map(byToken);
    expect(alone!.size).toBe(10);
    for (const [key, value] of alone!) expect(whole!.get(key.replace("0", "1"))).toBe(value);
    expect(fewer!.size).toBe(12);
    for (const [key, value] of fewer!) expect(whole!.get(key)).toBe(value);
  });
});

it("the mean over tokens divides by each image's own number of tokens", async () => {
  const m = symbolicDim("tokens");
  const batch = { sample: input("sample", [m], "int32"), target: input("target", [3, 4, 2]) };
  const session = await cpuEngine().compile({ outputs: { mean: meanOverTokens(input("values", [m]), batch) } });
  const { mean } = await runAndRead(session, { sample: int32([0, 2, 2, 1, 2]), values: float32([5, 1, 2, 7, 6]) });
  expect([...(mean!.data as Float32Array)]).toEqual([5, 7, 3]);
});

describe("generation", () => {
  const tokens = 9;
  const plan = (indices: readonly number[]) => ({
    orders: ordersOf(indices, tokens),
    ...{ iterations: 4, bufferSize: 1, tokenSize: 2, schedule: namedSchedule("squaredcos_cap_v2", 3) },
    ...{ guidanceScale: 2, guidanceSchedule: "linear" as const },
  });

  /** Conditions are the sum of an image's tokens so far; each step of denoising mixes state, noise and both conditions. */
  function evaluators(ofImages: ReturnType<typeof plan>, first: number, seen: number[][] = []) {
    const noise = tokenNoise(3, first);
    return {
      condition: async (state: NDArray<"float32">, visible: NDArray<"int32">) => {
        seen.push([...visible.shape]);
        const images = state.shape[0]!;
        const z = new Float32Array(2 * images * tokens);
        for (let n = 0; n < images; n++) {
          const total = state.rows(n, n + 1).data.reduce((a, b) => a + b, 0);
          z.fill(total, n * tokens, (n + 1) * tokens);
          z.fill(-total, (images + n) * tokens, (images + n + 1) * tokens);
        }
        return float32(z, [2 * images, tokens, 1]);
      },
      denoise: async (z: NDArray<"float32">, { rows, scale }: MaskedTokens) => {
        const half = z.size / 2;
        const guided = Array.from(rows, (row) => z.data[half + row]! + scale * (z.data[row]! - z.data[half + row]!));
        const noiseAt = rowNoise(ofImages, noise, rows);
        let x = noiseAt(0);
        for (let k = 1; k <= ofImages.schedule.betas.length; k++) {
          const fresh = noiseAt(k);
          x = float32(
            x.data.map((v, i) => v / 2 + fresh.data[i]! + guided[i >> 1]! / 8),
            x.shape,
          );
        }
        return x;
      },
    };
  }

  it("sees more of the image in each iteration, and fills every token", async () => {
    const seen: number[][] = [];
    const result = await generateTokens(plan([0, 1]), evaluators(plan([0, 1]), 0, seen));
    expect(seen).toEqual([9, ...maskLengths(tokens, 4).slice(0, -1)].map((masked) => [2, 1 + tokens - masked]));
    expect(result.data.every((value) => value !== 0)).toBe(true);
  });

  it("gives an image that depends on the seed and its number only", async () => {
    const [a, b] = [
      await generateTokens(plan([6, 7]), evaluators(plan([6, 7]), 6)),
      await generateTokens(plan([7, 8]), evaluators(plan([7, 8]), 7)),
    ];
    expect(b.rows(0, 1).data).toEqual(a.rows(1, 2).data);
    expect(b.rows(1, 2).data).not.toEqual(a.rows(1, 2).data);
  });
});
