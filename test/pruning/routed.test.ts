/** Routed execution computes the same gradients as dense masking, with less work. */
import { describe, expect, it } from "vitest";
import { gateCount } from "../../src/pruning/draw-mask.ts";
import { compile, drawsOf, groups, run } from "./mask-pair.ts";

const distance = (a: ArrayLike<number>, b: ArrayLike<number>, scale: number): number =>
  Array.from(a).reduce((worst, x, i) => Math.max(worst, Math.abs(x - b[i]!)), 0) / scale;

const largest = (arrays: readonly ArrayLike<number>[]): number =>
  arrays.reduce((top, array) => Math.max(top, ...Array.from(array, Math.abs)), 0);

const level = new Float32Array(gateCount(groups)).fill(0.02);
/** Every row keeps the first block of each pair: the second ones are kept by nobody. */
const firstOnly = Float32Array.from(level, (_, i) => (i % 2 === 0 ? 5 : -5));

describe("routed execution", () => {
  it.each([
    ["mixed masks", 6, level],
    ["one kept set full, the other empty", 6, firstOnly],
    ["two rows", 2, level],
    ["seven rows", 7, level],
  ])("gives the loss and gradients of dense masking: %s", async (_, rows, gates) => {
    const draws = drawsOf(rows, gates);
    const dense = await run(await compile("dense", rows), rows, draws);
    const routed = await run(await compile("routed", rows), rows, draws);
    expect(Math.abs(routed.loss / dense.loss - 1)).toBeLessThan(1e-5);
    const scale = largest(dense.factors);
    expect(scale).toBeGreaterThan(0);
    routed.factors.forEach((factor, i) => {
      expect(distance(factor, dense.factors[i]!, scale)).toBeLessThan(1e-5);
    });
    const gateScale = Math.max(largest([dense.gates]), 1e-3);
    expect(distance(routed.gates, dense.gates, gateScale)).toBeLessThan(1e-5);
  });

  it("sees rows that are dropped everywhere the gates still weigh them", async () => {
    const draws = drawsOf(6, level);
    const { gates } = await run(await compile("routed", 6), 6, draws);
    expect(largest([gates])).toBeGreaterThan(1e-4);
  });

  it("estimates the gate gradient without bias when only some dropped rows run", async () => {
    const rows = 4;
    const draws = drawsOf(rows, level);
    const executed = await compile("routed", rows);
    const exact = (await run(executed, rows, draws)).gates;
    const count = 2000;
    const sum = new Float64Array(exact.length);
    const squares = new Float64Array(exact.length);
    for (let coin = 0; coin < count; coin++) {
      const { gates } = await run(executed, rows, draws, 0.3, coin);
      gates.forEach((g, i) => {
        sum[i]! += g;
        squares[i]! += g * g;
      });
    }
    exact.forEach((truth, i) => {
      const mean = sum[i]! / count;
      const error = Math.sqrt((squares[i]! / count - mean * mean) / count);
      expect(error).toBeGreaterThan(0);
      expect(Math.abs(mean - truth)).toBeLessThan(4 * error);
    });
  }, 60_000);
});
