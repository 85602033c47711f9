/** Random masks: ONNX Runtime, the host's generator and the reference give the same bits, wherever a row stands. */

import { describe, expect, test } from "vitest";
import { float32, int32, type NDArray } from "../../../src/array/ndarray.ts";
import { fillWords, maskRounds } from "../../../src/array/philox.ts";
import { runAndRead } from "../../../src/engine/engine.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { bernoulli, concat, gather, input, mul, partitionRows } from "../../../src/graph/build.ts";
import { symbolicDim } from "../../../src/graph/dim.ts";
import { fixCapacities } from "../../../src/graph/fix-capacities.ts";
import type { Graph } from "../../../src/graph/graph.ts";
import { feedPadder } from "../../../src/graph/pad-feeds.ts";
import { dropoutKeys } from "../../../src/nn/dropout.ts";
import { evaluate, toValue } from "../../reference/evaluate.ts";

type Feeds = Readonly<Record<string, NDArray>>;

async function run(graph: Graph, feeds: Feeds, threads = 1): Promise<Record<string, NDArray>> {
  const session = await cpuEngine({ threads }).compile(graph);
  const results = await runAndRead(session, feeds);
  await session.release();
  return results;
}

const numbers = ({ data }: NDArray): number[] => Array.from(data, Number);

const keysOf = (rows: number): NDArray<"int32"> =>
  dropoutKeys(
    3,
    17,
    Array.from({ length: rows }, (_, n) => 1000 + n),
  );

/** One row of `length` elements by the host's generator, as the operation is described. */
function hostRow(key: readonly [number, number], stream: number, probability: number, length: number): number[] {
  const words = new Uint32Array(4 * Math.ceil(length / 8));
  fillWords(words, { key, counter: [stream, 0, 0] }, 0, maskRounds);
  return Array.from({ length }, (_, i) => {
    const word = words[i >> 1]!;
    return Number((i % 2 === 0 ? word & 0xffff : word >>> 16) < probability * 65536);
  });
}

const N = symbolicDim("N");
const T = symbolicDim("T");
const key = input("key", [N, 2], "int32");

describe("a random mask", () => {
  test.each([
    [4, [7, 7], 1],
    [3, [8, 5], 1],
    [32, [4, 49, 49], 2],
    [1, [1], 1],
  ])("of %d rows under %j is that of the host on %d threads", async (rows, rest, threads) => {
    const keys = keysOf(rows);
    const [stream, probability] = [0xdeadbeef, 0.9];
    const mask = bernoulli(key, [N, ...rest], probability, stream);
    const found = numbers((await run({ outputs: { mask } }, { key: keys }, threads)).mask!);
    const length = rest.reduce((a, b) => a * b, 1);
    const drawn = Math.round(probability * 65536) / 65536;
    const rowOf = (n: number) => hostRow([keys.data[2 * n]!, keys.data[2 * n + 1]!], stream, drawn, length);
    expect(found).toEqual(Array.from({ length: rows }, (_, n) => rowOf(n)).flat());
    if (found.length < 1000) {
      const { data } = evaluate({ outputs: { mask } }, { key: toValue(keys) }).mask!;
      expect(found).toEqual([...data]);
    }
  });

  test("of a row is the same in any batch, and under symbols", async () => {
    const [keys, x] = [keysOf(5), input("x", [N, T])];
    const mask = bernoulli(key, [N, 3, T], 0.5, 1);
    const ones = (rows: number) => float32(new Float32Array(rows * 11).fill(1), [rows, 11]);
    const graph = { outputs: { mask, used: mul(x, x) } };
    const whole = (await run(graph, { key: keys, x: ones(5) })).mask!;
    const fixed = (await run({ outputs: { mask: bernoulli(key, [N, 3, 11], 0.5, 1) } }, { key: keys })).mask!;
    const parts = await Promise.all(
      [
        [0, 2],
        [2, 5],
      ].map(async ([start, end]) => run(graph, { key: keys.rows(start!, end!), x: ones(end! - start!) })),
    );
    expect(numbers(whole)).toEqual(numbers(fixed));
    expect(parts.flatMap(({ mask }) => numbers(mask!))).toEqual(numbers(fixed));
    expect(new Set(Array.from({ length: 5 }, (_, n) => numbers(whole.rows(n, n + 1)).join(""))).size).toBe(5);
  });

  test("follows rows that are routed", async () => {
    const index = (name: string) => input(name, [symbolicDim(name)], "int32");
    const routes = { kept: index("kept"), dropped: index("dropped"), inverse: input("inverse", [N], "int32") };
    const masks = partitionRows(key, routes).map((keys) => bernoulli(keys, [keys.shape[0]!, 13], 0.5, 4));
    const order = [3, 1, 0, 4, 2];
    const found = await run(
      { outputs: { first: masks[0]!, second: masks[1]!, whole: bernoulli(key, [N, 13], 0.5, 4) } },
      {
        key: keysOf(5),
        kept: int32(order.slice(0, 2)),
        dropped: int32(order.slice(2)),
        inverse: int32([2, 1, 4, 0, 3]),
      },
    );
    const rowOf = (n: number) => numbers(found.whole!.rows(n, n + 1));
    expect([...numbers(found.first!), ...numbers(found.second!)]).toEqual(order.flatMap(rowOf));
  });

  test("is the same where a graph has so many symbols that shapes are left to run time", async () => {
    const others = Array.from({ length: 9 }, (_, i) => input(`x.${i}`, [symbolicDim(`S.${i}`)]));
    const graph = { outputs: { mask: bernoulli(key, [N, 11], 0.5, 1) } };
    const many = { outputs: { ...graph.outputs, ...Object.fromEntries(others.map((x, i) => [`y.${i}`, mul(x, x)])) } };
    const feeds = { key: keysOf(3), ...Object.fromEntries(others.map((_, i) => [`x.${i}`, float32([1])])) };
    expect(numbers((await run(many, feeds)).mask!)).toEqual(numbers((await run(graph, feeds)).mask!));
  });

  test("has the same rows in a graph of fixed shapes", async () => {
    const picked = input("picked", [symbolicDim("P", 4)], "int32");
    const keys = gather(input("keys", [5, 2], "int32"), picked);
    const graph = { outputs: { mask: bernoulli(keys, [keys.shape[0]!, 13], 0.5, 4) } };
    const feeds = { keys: keysOf(5), picked: int32([4, 1, 2]) };
    const fixed = (await run(fixCapacities(graph), feedPadder(graph)(feeds))).mask!;
    expect(fixed.shape).toEqual([4, 13]);
    expect(numbers(fixed.rows(0, 3))).toEqual(numbers((await run(graph, feeds)).mask!));
  });

  test("holds its probability, in every draw of a block and from block to block", async () => {
    const [rows, length, p] = [64, 4096, 0.3];
    const masks = [1, 2].map((stream) => bernoulli(key, [N, length], p, stream));
    const found = await run({ outputs: { a: masks[0]!, b: masks[1]! } }, { key: keysOf(rows) });
    const [a, b] = [numbers(found.a!), numbers(found.b!)];
    const share = (at: (i: number) => number, among: (i: number) => boolean): [number, number] => {
      const picked = a.flatMap((_, i) => (among(i) ? [at(i)] : []));
      return [picked.reduce((sum, value) => sum + value, 0) / picked.length, picked.length];
    };
    const within = ([mean, count]: [number, number], expected: number) =>
      expect(Math.abs(mean - expected)).toBeLessThan(4 * Math.sqrt((expected * (1 - expected)) / count));
    for (let place = 0; place < 8; place++)
      within(
        share(
          (i) => a[i]!,
          (i) => i % 8 === place,
        ),
        p,
      );
    // Pairs of neighbours, of blocks, of rows and of streams agree as often as independent draws do.
    const product = (other: (i: number) => number | undefined) =>
      share(
        (i) => a[i]! * other(i)!,
        (i) => other(i) !== undefined,
      );
    for (const lag of [1, 8, length])
      within(
        product((i) => a[i + lag]),
        p * p,
      );
    within(
      product((i) => b[i]),
      p * p,
    );
  });

  test("under two streams is two masks, in one graph", async () => {
    const [a, b] = [5, 6].map((stream) => bernoulli(key, [N, 40], 0.5, stream)) as [typeof key, typeof key];
    const { both } = await run({ outputs: { both: concat([a, b], 1) } }, { key: keysOf(1) });
    expect(numbers(both!).slice(0, 40)).not.toEqual(numbers(both!).slice(40));
  });
});
