/** Sessions on the CPU: what they accept, where results go, and that threads do not disturb sums. */
import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32, NDArray, zeros } from "../../../src/array/ndarray.ts";
import { cpuEngine } from "../../../src/engine/onnx/node-engine.ts";
import * as g from "../../../src/graph/build.ts";
import { symbolicDim } from "../../../src/graph/dim.ts";

const N = symbolicDim("N");
const engine = cpuEngine({ threads: 1 });
const int32 = (values: number[]) => new NDArray("int32", [values.length], Int32Array.from(values)) as NDArray;
const matrix = (rows: number) => float32(new Float32Array(rows * 2).fill(1), [rows, 2]);

describe("feeds", () => {
  const x = g.input("images", [N, 2]);
  const labels = g.input("labels", [N], "int32");
  const table = g.parameter("y_embedder.weight", [4, 2]);
  const session = engine.compile({ outputs: { y: g.add(x, g.gather(table, labels)) } });
  const good = { images: matrix(3), labels: int32([0, 3, 1]), "y_embedder.weight": matrix(4) };

  test("of any batch size are accepted", async () => {
    const run = await session;
    expect((await run.run(good)).y!.shape).toEqual([3, 2]);
    const one = { ...good, images: matrix(1), labels: int32([2]) };
    expect((await run.run(one)).y!.shape).toEqual([1, 2]);
  });

  const bad: Record<string, readonly [Record<string, NDArray | undefined>, string]> = {
    "a missing input": [{ labels: undefined }, "run: input labels int32[N] was not fed"],
    "a missing weight": [{ "y_embedder.weight": undefined }, "run: input y_embedder.weight float32[4, 2] was not fed"],
    "a wrong size": [
      { "y_embedder.weight": matrix(5) },
      "run: input y_embedder.weight expects float32[4, 2], got float32[5,2]",
    ],
    "a missing axis": [
      { images: float32([1, 2]) },
      "run: input images expects float32[N, 2] where N = undefined, got float32[2]",
    ],
    "a wrong type": [{ labels: float32([0, 1, 2]) }, "run: input labels expects int32[N] where N = 3, got float32[3]"],
    "two batch sizes in one run": [
      { labels: int32([1]) },
      "run: input labels expects int32[N] where N = 3, got int32[1]",
    ],
  };

  test.each(Object.entries(bad))("with %s are refused by name", async (_, [change, message]) => {
    const run = await session;
    const feeds = { ...good, ...change } as Record<string, NDArray>;
    const error = await run.run(feeds).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(InputError);
    expect((error as InputError).message).toBe(message);
  });
});

describe("results", () => {
  const x = g.input("x", [N, 2]);

  test("are written into the arrays that are given, also at a second run", async () => {
    const session = await engine.compile({ outputs: { twice: g.mul(x, 2), more: g.add(x, 1) } });
    const twice = zeros("float32", [2, 2]);
    for (const start of [1, 10]) {
      const fed = float32([start, 2, 3, 4], [2, 2]);
      const results = await session.run({ x: fed }, { twice });
      expect(results.twice).toBe(twice);
      expect([...twice.data]).toEqual([2 * start, 4, 6, 8]);
      expect([...results.more!.data]).toEqual([start + 1, 3, 4, 5]);
    }
  });

  test("may be an input, a constant, or one value under two names", async () => {
    const y = g.mul(x, 3);
    const outputs = { same: x, seven: g.constant(float32([7])), a: y, b: y };
    const session = await engine.compile({ outputs });
    const results = await session.run({ x: float32([1, 2], [1, 2]) });
    const numbers = Object.entries(results).map(([name, value]) => [name, [...value.data]]);
    expect(Object.fromEntries(numbers)).toEqual({ same: [1, 2], seven: [7], a: [3, 6], b: [3, 6] });
  });

  test("of constant weights need no feed", async () => {
    const y = g.linear(x, g.parameter("w", [1, 2]));
    const constants = new Map([["w", { name: "w", value: float32([10, 1], [1, 2]) }]]);
    const session = await engine.compile({ outputs: { y } }, { constants });
    expect([...(await session.run({ x: float32([1, 2, 3, 4], [2, 2]) })).y!.data]).toEqual([12, 34]);
  });

  test("are counted by the engine", async () => {
    const counted = cpuEngine({ threads: 1 });
    const session = await counted.compile({ outputs: { y: g.neg(x) } });
    await session.run({ x: matrix(1) });
    await session.run({ x: matrix(2) });
    expect(counted.counters).toEqual({ sessions: 1, runs: 2 });
  });
});

describe("with two threads", () => {
  test("many rows summed into few lose none", async () => {
    const [rows, size, places] = [20_000, 16, 3];
    const updates = g.input("updates", [rows, size]);
    const index = g.input("index", [rows], "int32");
    const session = await cpuEngine({ threads: 2 }).compile({ outputs: { y: g.scatterAdd(index, updates, places) } });
    const data = new Float32Array(rows * size).fill(1);
    const feeds = {
      updates: float32(data, [rows, size]),
      index: int32(Array.from({ length: rows }, (_, i) => i % places)),
    };
    const counts = [6667, 6667, 6666].flatMap((count) => new Array<number>(size).fill(count));
    for (let run = 0; run < 5; run++) expect([...(await session.run(feeds)).y!.data]).toEqual(counts);
  });
});
