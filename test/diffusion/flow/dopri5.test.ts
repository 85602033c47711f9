import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32, type NDArray } from "../../../src/array/ndarray.ts";
import { type AdaptiveSettings, adaptiveDefaults } from "../../../src/diffusion/flow/dopri5.ts";
import { gaussianField, mean, noise, std } from "./gaussian-data.ts";
import { integrateAdaptive } from "./on-host.ts";
import "../../golden/matchers.ts";

/** x′ = rate · x, with a rate for each row of x [N, 1]. */
const growth = (rates: readonly number[]) => async (x: NDArray) =>
  float32(
    Array.from(x.data as Float32Array, (value, i) => value * rates[i]!),
    x.shape,
  );

/**
 * The same solver for x′ = rate · x from its stability polynomials (Hairer and Wanner 1996, section IV.2): one step is
 * x · R(h rate), its error estimate two thirds of x · E(h rate). Step rule as in torchdiffeq, one for all rows.
 */
function byPolynomials(rates: readonly number[], start: readonly number[], { rtol, atol }: AdaptiveSettings) {
  const rms = (values: number[]) => Math.sqrt(values.reduce((a, b) => a + b * b, 0) / values.length);
  const r = (z: number) => 1 + z + z ** 2 / 2 + z ** 3 / 6 + z ** 4 / 24 + z ** 5 / 120 + z ** 6 / 600;
  const e = (z: number) => (2 / 3) * ((-97 / 120000) * z ** 5 + (13 / 40000) * z ** 6 - z ** 7 / 24000);
  const scale = start.map((x) => atol + rtol * Math.abs(x));
  const d0 = rms(start.map((x, i) => x / scale[i]!));
  const d1 = rms(start.map((x, i) => (rates[i]! * x) / scale[i]!));
  const d2 = rms(start.map((x, i) => (rates[i]! ** 2 * x) / scale[i]!));
  const h0 = (0.01 * d0) / d1;
  let h = Math.min(100 * h0, (0.01 / Math.max(d1, d2)) ** (1 / 5));
  let [x, t, accepted, rejected] = [[...start], 0, 0, 0];
  while (t < 1) {
    h = Math.min(h, 1 - t);
    const next = x.map((value, i) => value * r(h * rates[i]!));
    const error = rms(
      x.map((value, i) => (value * e(h * rates[i]!)) / (atol + rtol * Math.max(Math.abs(value), Math.abs(next[i]!)))),
    );
    if (error <= 1) [x, t, accepted] = [next, h === 1 - t ? 1 : t + h, accepted + 1];
    else rejected++;
    h *= Math.min(10, Math.max(0.9 * error ** (-1 / 5), error <= 1 ? 1 : 0.2));
  }
  return { x, accepted, rejected };
}

const rates = [-1, 3, -40, 0.5];
const start = [1, -2, 0.5, 3];
const column = (values: readonly number[]) => float32(values, [values.length, 1]);

describe("Dormand and Prince's method", () => {
  test("takes each sample through the steps that its stability polynomials predict", async () => {
    const { x, accepted, rejected } = await integrateAdaptive(growth(rates), column(start), [0, 1]);
    rates.forEach((rate, row) => {
      const alone = byPolynomials([rate], [start[row]!], adaptiveDefaults);
      expect([accepted[row], rejected[row]], `rate ${rate}`).toEqual([alone.accepted, alone.rejected]);
      expect(Math.abs((x.data[row] as number) - alone.x[0]!)).toBeLessThan(1e-5 * Math.abs(alone.x[0]!) + 1e-8);
    });
    expect(new Set(accepted).size).toBeGreaterThan(1);
  });

  test("takes the whole batch through the same steps with the norm of the batch, as torchdiffeq does", async () => {
    const settings: AdaptiveSettings = { ...adaptiveDefaults, norm: "batch" };
    const found = await integrateAdaptive(growth(rates), column(start), [0, 1], settings);
    const expected = byPolynomials(rates, start, settings);
    expect([found.accepted, found.rejected]).toEqual([[expected.accepted], [expected.rejected]]);
    expect(found.x).toMatchGolden(column(expected.x), { relative: 1e-5 });
    expect(found.evaluations).toBe(2 + 6 * (expected.accepted + expected.rejected));
  });

  test("refuses steps that are too long for a slope that suddenly rises, and finds the way", async () => {
    const [at, width] = [0.62, 0.05];
    const slope = (t: number) => 5 * (1 + Math.tanh((t - at) / width));
    const integral = (t: number) => 5 * (t + width * Math.log(Math.cosh((t - at) / width)));
    const rise = async (x: NDArray, t: NDArray) => float32([slope(t.data[0] as number)], x.shape);
    const { x, rejected } = await integrateAdaptive(rise, column([1]), [0, 1], { ...adaptiveDefaults, rtol: 1e-5 });
    expect(rejected[0]).toBeGreaterThan(0);
    expect(x.data[0]).toBeCloseTo(1 + integral(1) - integral(0), 2);
  });

  test("comes closer with a smaller tolerance, and carries noise to its data", async () => {
    const z = noise(0, [4, 8]);
    const expected = float32(
      Array.from(z.data as Float32Array, (value) => mean + std * value),
      z.shape,
    );
    const velocity = async (x: NDArray, t: NDArray) => (await gaussianField("linear", x, t)).velocity;
    const errors: number[] = [];
    for (const rtol of [1e-2, 1e-3, 1e-5]) {
      const { x } = await integrateAdaptive(velocity, z, [0, 1], { ...adaptiveDefaults, rtol });
      errors.push(Math.max(...expected.data.map((value, i) => Math.abs(value - (x.data[i] as number)))));
    }
    expect(errors[1]!).toBeLessThan(errors[0]!);
    expect(errors[2]!).toBeLessThan(1e-4);
  });

  test("gives a sample the same bits alone and beside samples that need other steps", async () => {
    const alone = await integrateAdaptive(growth([3]), column([-2]), [0, 1]);
    const beside = await integrateAdaptive(growth([-80, 3, 0.1]), column([1, -2, 4]), [0, 1]);
    expect(beside.x.data[1]).toBe(alone.x.data[0]);
    expect(beside.accepted[1]).toBe(alone.accepted[0]);
    expect(beside.accepted[0]).toBeGreaterThan(beside.accepted[1]!);
    const together = await integrateAdaptive(growth([-80, 3, 0.1]), column([1, -2, 4]), [0, 1], {
      ...adaptiveDefaults,
      norm: "batch",
    });
    expect(together.x.data[1]).not.toBe(alone.x.data[0]);
  });

  test.each(["sample", "batch"] as const)("leaves padding alone with the norm of the %s", async (norm) => {
    const settings = { ...adaptiveDefaults, norm };
    const whole = await integrateAdaptive(growth([3, -1]), column([-2, 1]), [0, 1], settings);
    const padded = await integrateAdaptive(growth([3, -1, -500]), column([-2, 1, 9]), [0, 1], settings, 2);
    expect([...padded.x.data]).toEqual([...whole.x.data, 9]);
    expect(padded.evaluations).toBe(whole.evaluations);
  });

  test("never asks for a time outside the interval, and ends exactly there, forwards and backwards", async () => {
    for (const interval of [
      [0, 0.7],
      [0.7, 0],
    ] as const) {
      const asked: number[] = [];
      const record = async (x: NDArray, t: NDArray) => {
        asked.push(t.data[0] as number);
        return growth([2])(x);
      };
      const { x } = await integrateAdaptive(record, column([1]), interval);
      expect(Math.min(...asked)).toBe(Math.fround(Math.min(...interval)));
      expect(Math.max(...asked)).toBe(Math.fround(Math.max(...interval)));
      expect(x.data[0]).toBeCloseTo(Math.exp(2 * (interval[1] - interval[0])), 2);
    }
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])("stops with a sentence where the velocity is %s", async (bad) => {
    const broken = async (x: NDArray, t: NDArray) => float32([1, (t.data[1] as number) > 0.5 ? bad : 1], x.shape);
    await expect(integrateAdaptive(broken, column([1, 1]), [0, 1])).rejects.toThrow(InputError);
    await expect(integrateAdaptive(broken, column([1, 1]), [0, 1])).rejects.toThrow(/sample 1/);
    const always = async (x: NDArray) => float32([bad, bad], x.shape);
    await expect(integrateAdaptive(always, column([1, 1]), [0, 1])).rejects.toThrow(InputError);
  });
});
