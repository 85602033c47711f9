import { afterAll, describe, expect, test } from "vitest";
import { cpuEngine } from "../../../src/engine/onnx/node-engine.ts";
import { matrix, openMetricKernels, product, semidefiniteFactor } from "../../../src/evaluation/metrics/kernels.ts";
import { scatteredFeatures } from "./scattered-features.ts";

const kernels = openMetricKernels(cpuEngine({ threads: 1 }));
afterAll(() => kernels.release());

/** xᵀx of scattered x [rows, n]: of rank min(rows, n). */
async function gram(rows: number, n: number): Promise<Float64Array> {
  const x = matrix(Float64Array.from(scatteredFeatures(rows, n, rows + n).data), rows, n);
  return (await product(kernels, x, x, { transposeA: true })).data;
}

/** How far L·Lᵀ is from the matrix. */
async function residual(covariance: Float64Array, n: number): Promise<{ rank: number; difference: number }> {
  const factor = await semidefiniteFactor(kernels, covariance, n);
  const back = (await product(kernels, factor, factor, { transposeB: true })).data;
  const difference = back.reduce((largest, value, at) => Math.max(largest, Math.abs(value - covariance[at]!)), 0);
  return { rank: factor.shape[1]!, difference };
}

describe("the factor of a semi-definite matrix", () => {
  test.each([
    ["within one panel", 30, 12],
    ["over panels", 400, 130],
    ["over panels, the last of one column", 400, 129],
  ])("of full rank multiplies back, %s", async (_, rows, n) => {
    const { rank, difference } = await residual(await gram(rows, n), n);
    expect(rank).toBe(n);
    expect(difference).toBeLessThan(1e-12 * rows);
  });

  test.each([
    [4, 12],
    [70, 200],
    [5, 200],
  ])("leaves out zero pivots and still multiplies back: rank %i of %i", async (rows, n) => {
    const { rank, difference } = await residual(await gram(rows, n), n);
    expect(rank).toBe(rows);
    expect(difference).toBeLessThan(1e-10);
  });

  test("leaves out constant features wherever they stand", async () => {
    const n = 150;
    const dead = new Set([0, 63, 64, 100, 149]);
    const covariance = (await gram(400, n)).map((value, at) =>
      dead.has(Math.floor(at / n)) || dead.has(at % n) ? 0 : value,
    );
    const { rank, difference } = await residual(covariance, n);
    expect(rank).toBe(n - dead.size);
    expect(difference).toBeLessThan(1e-10);
  });

  test("has rank 0 for the zero matrix", async () => {
    expect((await semidefiniteFactor(kernels, new Float64Array(9), 3)).shape).toEqual([3, 0]);
  });

  test("reads the lower triangle only", async () => {
    const factor = await semidefiniteFactor(kernels, Float64Array.of(4, Number.NaN, 2, 2), 2);
    expect([...factor.data]).toEqual([2, 0, 1, 1]);
  });
});
