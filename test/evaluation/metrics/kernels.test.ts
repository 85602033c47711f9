/** Products and factors of matrices. */

import { afterAll, describe, expect, test } from "vitest";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import {
  blocksOf,
  matrix,
  openMetricKernels,
  product,
  semidefiniteFactor,
  withMetricKernels,
} from "../../../src/evaluation/metrics/kernels.ts";
import { input, mul } from "../../../src/graph/build.ts";
import { countedEngine } from "../../engine/counted-engine.ts";
import { scatteredFeatures } from "./scattered-features.ts";

const a = matrix(Float64Array.of(1, 2, 3, 4, 5, 6), 2, 3);

describe("metric kernels", () => {
  test("multiply float64 matrices, also transposed ones, of any size in one session", async () => {
    const engine = countedEngine(cpuEngine({ threads: 1 }));
    await withMetricKernels(engine, async (kernels) => {
      const b = matrix(Float64Array.of(7, 8, 9, 10, 11, 12), 3, 2);
      expect([...(await product(kernels, a, b)).data]).toEqual([58, 64, 139, 154]);
      expect(await product(kernels, b, a)).toMatchObject({ dtype: "float64", shape: [3, 3] });
      expect(engine.counters.programs).toBe(1);
      expect([...(await product(kernels, a, a, { transposeB: true })).data]).toEqual([14, 32, 32, 77]);
      expect([...(await product(kernels, a, a, { transposeA: true })).data]).toEqual([
        17, 22, 27, 22, 29, 36, 27, 36, 45,
      ]);
      expect(engine.counters.programs).toBe(3);
    });
  });

  test("keep float64 digits that float32 has not", async () => {
    await withMetricKernels(cpuEngine({ threads: 1 }), async (kernels) => {
      const third = matrix(Float64Array.of(1 + 2 ** -40, 1, 1, 1), 2, 2);
      expect((await product(kernels, third, third)).data[0]).toBe((1 + 2 ** -40) ** 2 + 1);
    });
  });

  test("are released when the work fails, and compile again when asked again", async () => {
    const engine = countedEngine(cpuEngine({ threads: 1 }));
    let released = 0;
    const counting = {
      ...engine,
      async compile(...request: Parameters<typeof engine.compile>) {
        const session = await engine.compile(...request);
        const release = () => {
          released++;
          return session.release();
        };
        return { run: session.run.bind(session), release };
      },
    };
    const x = input("x", [2, 3], "float64");
    const failing = withMetricKernels(counting, async (kernels) => {
      await kernels.run("square", () => ({ outputs: { y: mul(x, x) } }), { x: a });
      throw new Error("stopped");
    });
    await expect(failing).rejects.toThrow("stopped");
    expect(released).toBe(1);
    const kernels = openMetricKernels(counting);
    const { y } = await kernels.run("square", () => ({ outputs: { y: mul(x, x) } }), { x: a });
    expect([...(y!.data as Float64Array)]).toEqual([1, 4, 9, 16, 25, 36]);
    await kernels.release();
    expect(released).toBe(2);
  });
});

describe("blocks", () => {
  test.each([
    [1, 4],
    [3, 3],
    [4, 3],
    [7, 3],
    [4, 4],
    [5, 4],
    [9, 4],
    [1001, 1000],
    [12345, 100],
    [3, 2], // two blocks of at most two rows cannot both have two
  ])("of %i rows, at most %i each, follow each other and from 3 on have no single row", (n, largest) => {
    const blocks = blocksOf(n, largest);
    let next = 0;
    for (const { start, end } of blocks) {
      expect(start).toBe(next);
      expect(end - start).toBeLessThanOrEqual(largest);
      expect(end - start).toBeGreaterThanOrEqual(largest < 3 ? 1 : Math.min(n, 2));
      next = end;
    }
    expect(next).toBe(n);
  });

  test("of nothing are none", () => expect(blocksOf(0, 4)).toEqual([]));
});

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
