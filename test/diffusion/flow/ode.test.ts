import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32, type NDArray } from "../../../src/array/ndarray.ts";
import { type OdeMethod, timeGrid } from "../../../src/diffusion/flow/ode.ts";
import { pathNames } from "../../../src/diffusion/process.ts";
import { gaussianField, mean, noise, std } from "./gaussian-data.ts";
import { integrateFixed } from "./on-host.ts";
import "../../golden/matchers.ts";

/** x′ = x cos t, so x(t) = x(0) e^{sin t}. */
const swing = async (x: NDArray, t: NDArray) =>
  float32(
    Array.from(x.data as Float32Array, (value, i) => value * Math.cos(t.data[i] as number)),
    x.shape,
  );

async function errorAt(method: OdeMethod, points: number): Promise<number> {
  const x = await integrateFixed(swing, float32([1, -2]), timeGrid([0, 1], points), method);
  return Math.abs((x.data[0] as number) - Math.exp(Math.sin(1)));
}

describe("a fixed grid", () => {
  test("has both ends and one step less than points", () => {
    expect([...timeGrid([0, 1], 5)]).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(timeGrid([0.1, 0.7], 7).at(-1)).toBeCloseTo(0.7, 15);
    expect(() => timeGrid([0, 1], 1)).toThrow(InputError);
    expect(() => timeGrid([0, 1], 2.5)).toThrow(InputError);
  });

  test.each([
    ["euler", 1],
    ["heun", 2],
  ] as const)("halves its step: the error of %s falls by 2 to the power %i", async (method, order) => {
    const [coarse, fine] = [await errorAt(method, 11), await errorAt(method, 21)];
    expect(Math.log2(coarse / fine)).toBeCloseTo(order, 0);
    expect(coarse).toBeGreaterThan(1e-5);
  });

  test.each([
    ["euler", 4],
    ["heun", 8],
  ] as const)("%s evaluates the model %i times for 5 points, at times of the grid only", async (method, count) => {
    const asked: number[] = [];
    const grid = timeGrid([0, 1], 5);
    const states: number[] = [];
    const start = float32([1]);
    const record = async (x: NDArray, t: NDArray) => {
      asked.push(t.data[0] as number);
      return swing(x, t);
    };
    await integrateFixed(record, start, grid, method, (_, k) => states.push(k));
    expect(asked).toHaveLength(count);
    for (const t of asked) expect([...grid]).toContain(t);
    expect(states).toEqual([0, 1, 2, 3]);
    expect(start.data[0]).toBe(1);
  });

  test("runs backwards to where it came from", async () => {
    const there = await integrateFixed(swing, float32([1, 2]), timeGrid([0, 1], 101), "heun");
    const back = await integrateFixed(swing, there, timeGrid([1, 0], 101), "heun");
    expect(back).toMatchGolden(float32([1, 2]), { relative: 1e-4 });
  });

  test.each(pathNames)("carries noise to the data it belongs to on the path %s", async (path) => {
    const z = noise(0, [4, 8]);
    const to = path === "vp" ? 1 - 1e-4 : 1;
    const velocity = async (x: NDArray, t: NDArray) => (await gaussianField(path, x, t)).velocity;
    const x = await integrateFixed(velocity, z, timeGrid([0, to], 401), "heun");
    const expected = float32(
      Array.from(z.data as Float32Array, (value) => mean + std * value),
      z.shape,
    );
    // The path vp begins with a little data in the noise, and ends a little before the data.
    expect(x).toMatchGolden(expected, { relative: path === "vp" ? 1e-2 : 1e-3 });
  });
});
