/** An element's sine, cosine and logarithm do not depend on how many elements are computed together. */

import { expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import { uniforms } from "../../../src/array/random.ts";
import { runAndRead } from "../../../src/engine/engine.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { cos, input, log, sin } from "../../../src/graph/build.ts";
import { symbolicDim } from "../../../src/graph/dim.ts";

const engine = cpuEngine({ threads: 1 });
const VALUES = 240;
const values = uniforms({ seed: 1, purpose: "angles", step: 0, index: 0 }, VALUES).map((u) => 1.6 * u + 0.001);

/** All values, `count` at a time. */
async function inRunsOf(count: number, operator: typeof sin, known: boolean): Promise<number[]> {
  const x = input("x", [known ? count : symbolicDim("rows")]);
  const session = await engine.compile({ outputs: { y: operator(x) } });
  const found: number[] = [];
  for (let first = 0; first < VALUES; first += count) {
    const { y } = await runAndRead(session, { x: float32(values.slice(first, first + count)) });
    found.push(...(y!.data as Float32Array));
  }
  await session.release();
  return found;
}

test.each([
  ["sin", sin, Math.sin],
  ["cos", cos, Math.cos],
  ["log", log, Math.log],
] as const)("%s", async (_, operator, exact) => {
  const fours = await inRunsOf(8, operator, true);
  for (const count of [1, 2, 3, 5, 6, 80]) {
    for (const known of [true, false]) expect(await inRunsOf(count, operator, known)).toEqual(fours);
  }
  expect(Math.max(...fours.map((y, i) => Math.abs(y - exact(values[i]!))))).toBeLessThan(1e-6);
});

test("of a single number and of none have their shapes", async () => {
  for (const shape of [[], [0], [3, 0], [1, 3, 1]]) {
    const session = await engine.compile({ outputs: { y: cos(input("x", shape)) } });
    const size = shape.reduce((product, dim) => product * dim, 1);
    const { y } = await runAndRead(session, { x: float32(new Float32Array(size), shape) });
    expect(y!.shape).toEqual(shape);
    expect([...(y!.data as Float32Array)]).toEqual(new Array(size).fill(1));
  }
});
