/** The conformance table of engines: what an array, a program and a donation do, whatever the device. */
import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import { type DeviceArray, type Engine, readAll, runAndRead } from "../../src/engine/engine.ts";
import * as g from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";

const N = symbolicDim("N");
/** More than what an engine may keep on the host. */
const SIZE = 5000;

const numbers = async (array: DeviceArray): Promise<number[]> => Array.from((await array.read()).data, Number);
const filled = (value: number, size = SIZE) => float32(new Float32Array(size).fill(value));

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(InputError);
  return (error as InputError).message;
}

/** Registers the cases for one engine. */
export function describeEngine(open: () => Engine): void {
  const engine = open();

  describe("an array", () => {
    test("comes back as it was put, of each type and size", async () => {
      for (const value of [filled(3), float32([]), float32([7], []), int32([1, -2, 3]), float32([1, 2], [1, 2])]) {
        const array = await engine.put(value as NDArray);
        expect([array.dtype, array.shape]).toEqual([value.dtype, value.shape]);
        const found = await array.read();
        expect([found.dtype, found.shape, [...found.data]]).toEqual([value.dtype, value.shape, [...value.data]]);
        array.release();
      }
    });

    test("that was released cannot be read or fed; releasing it again does nothing", async () => {
      const array = await engine.put(filled(1));
      array.release();
      array.release();
      const program = await engine.compile({ outputs: { y: g.neg(g.input("x", [SIZE])) } });
      const message = `array float32[${SIZE}] was released or donated to an earlier run, so it has no values any more`;
      expect(await refusal(array.read())).toBe(message);
      expect(await refusal(program.run({ x: array }))).toBe(message);
      await program.release();
    });
  });

  describe("a program", () => {
    const x = g.input("images", [N, 2]);
    const labels = g.input("labels", [N], "int32");
    const table = g.parameter("y_embedder.weight", [4, 2]);
    const program = engine.compile({ outputs: { y: g.add(x, g.gather(table, labels)) } });
    const rows = (count: number) => float32(new Float32Array(count * 2).fill(1), [count, 2]);
    const good = { images: rows(3), labels: int32([0, 3, 1]), "y_embedder.weight": rows(4) };

    test("takes any batch size, and arrays of host and device alike", async () => {
      const run = await program;
      expect((await runAndRead(run, good)).y!.shape).toEqual([3, 2]);
      const images = await engine.put(rows(1));
      expect((await runAndRead(run, { ...good, images, labels: int32([2]) })).y!.shape).toEqual([1, 2]);
    });

    const bad: Record<string, readonly [Record<string, NDArray | undefined>, string]> = {
      "a missing input": [{ labels: undefined }, "run: input labels int32[N] was not fed"],
      "a missing weight": [
        { "y_embedder.weight": undefined },
        "run: input y_embedder.weight float32[4, 2] was not fed",
      ],
      "a wrong size": [
        { "y_embedder.weight": rows(5) },
        "run: input y_embedder.weight expects float32[4, 2], got float32[5,2]",
      ],
      "a missing axis": [
        { images: float32([1, 2]) },
        "run: input images expects float32[N, 2] where N = undefined, got float32[2]",
      ],
      "a wrong type": [
        { labels: float32([0, 1, 2]) },
        "run: input labels expects int32[N] where N = 3, got float32[3]",
      ],
      "two batch sizes in one run": [
        { labels: int32([1]) },
        "run: input labels expects int32[N] where N = 3, got int32[1]",
      ],
    };
    test.each(Object.entries(bad))("with %s is refused by name", async (_, [change, message]) => {
      const inputs = { ...good, ...change } as Record<string, NDArray>;
      expect(await refusal((await program).run(inputs))).toBe(message);
    });

    test("returns an input, a constant, and one value under two names", async () => {
      const value = g.input("x", [N, 2]);
      const y = g.mul(value, 3);
      const own = await engine.compile({ outputs: { same: value, seven: g.constant(float32([7])), a: y, b: y } });
      const results = await runAndRead(own, { x: float32([1, 2], [1, 2]) });
      const found = Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, [...data]]));
      expect(found).toEqual({ same: [1, 2], seven: [7], a: [3, 6], b: [3, 6] });
    });

    test("needs no feed for constant weights", async () => {
      const y = g.linear(g.input("x", [N, 2]), g.parameter("w", [1, 2]));
      const constants = new Map([["w", float32([10, 1], [1, 2])]]);
      const own = await engine.compile({ outputs: { y } }, { constants });
      for (const factor of [1, 2]) {
        const { y: found } = await runAndRead(own, { x: float32([factor, 2, 3, 4], [2, 2]) });
        expect([...found!.data]).toEqual([10 * factor + 2, 34]);
      }
      await own.release();
    });

    test("gives results that later runs leave alone", async () => {
      const own = await engine.compile({ outputs: { y: g.mul(g.input("x", [SIZE]), 2) } });
      const first = (await own.run({ x: filled(1) })).y!;
      const values = await first.read();
      first.release();
      const second = (await own.run({ x: filled(5) })).y!;
      second.release();
      const third = (await own.run({ x: filled(6) })).y!;
      expect([values.data[0], (await numbers(third))[SIZE - 1]]).toEqual([2, 12]);
    });
  });

  describe("a donated input", () => {
    const state = g.input("state", [SIZE]);
    const change = g.input("change", [SIZE]);
    const stepped = { state: g.add(g.mul(state, 0.5), change) };

    test("is consumed, and its output has the new values", async () => {
      const program = await engine.compile({ outputs: stepped }, { donate: ["state"] });
      const start = await engine.put(filled(8));
      const { state: next } = await program.run({ state: start, change: filled(1) });
      expect((await numbers(next!))[0]).toBe(5);
      expect(await refusal(start.read())).toMatch(/was released or donated/);
      expect(await refusal(program.run({ state: start, change: filled(1) }))).toMatch(/was released or donated/);
    });

    test("that others read before keeps the values they read", async () => {
      const program = await engine.compile({ outputs: stepped }, { donate: ["state"] });
      const [kept, first] = [filled(8), (await program.run({ state: filled(6), change: filled(1) })).state!];
      const seen = await first.read();
      const { state: next } = await program.run({ state: first, change: filled(1) });
      await program.run({ state: await engine.put(kept), change: filled(1) });
      expect([seen.data[0], (await numbers(next!))[0], kept.data[0]]).toEqual([4, 3, 8]);
    });

    test("may be read by two nodes, also after what replaces it", async () => {
      const swapped = { a: g.input("b", [SIZE]), b: g.add(g.input("a", [SIZE]), g.input("b", [SIZE])) };
      const program = await engine.compile({ outputs: swapped }, { donate: ["a", "b"] });
      let arrays: Record<string, DeviceArray | NDArray> = { a: filled(1), b: filled(1) };
      for (let i = 0; i < 5; i++) arrays = await program.run(arrays);
      const values = await readAll(arrays as Record<string, DeviceArray>);
      expect([values.a!.data[0], values.b!.data[SIZE - 1]]).toEqual([8, 13]);
    });

    test("is refused twice in a run, and beside itself", async () => {
      const sums = { a: g.add(g.input("a", [SIZE]), g.input("c", [SIZE])), b: g.neg(g.input("b", [SIZE])) };
      const program = await engine.compile({ outputs: sums }, { donate: ["a", "b"] });
      const array = await engine.put(filled(1));
      const other = await engine.put(filled(2));
      expect(await refusal(program.run({ a: array, b: array, c: filled(1) }))).toBe(
        "run: a and b donate one array; a run consumes it once",
      );
      expect(await refusal(program.run({ a: array, b: other, c: array }))).toBe(
        "run: a donates the array that c reads; put it twice",
      );
      expect((await numbers(array))[0]).toBe(1);
    });

    test("of another shape is refused before anything is consumed", async () => {
      const program = await engine.compile({ outputs: stepped }, { donate: ["state"] });
      const start = await engine.put(filled(1));
      expect(await refusal(program.run({ state: start, change: filled(1, 3) }))).toBe(
        `run: input change expects float32[${SIZE}], got float32[3]`,
      );
      expect((await numbers(start))[0]).toBe(1);
    });
  });

  test("state that many arrays of all sizes hold is updated as each of them would be alone", async () => {
    const sizes = [1, 3, 40_000, 384, 70_001, 2];
    const outputs = Object.fromEntries(
      sizes.flatMap((size, i) => {
        const gradient = g.mul(g.input(`gradient.${i}`, [size]), g.input("clip", []));
        const moment = g.add(g.mul(g.input(`moment.${i}`, [size]), 0.9), gradient);
        return [
          [`moment.${i}`, moment],
          [`weight.${i}`, g.sub(g.input(`weight.${i}`, [size]), g.mul(moment, g.input("rate", [])))],
        ];
      }),
    );
    const program = await engine.compile({ outputs }, { donate: Object.keys(outputs) });
    const ramp = (size: number, i: number) => float32(Float32Array.from({ length: size }, (_, k) => (k % 17) - i));
    let arrays: Record<string, DeviceArray> = {};
    for (const [i, size] of sizes.entries()) {
      arrays[`moment.${i}`] = await engine.put(float32(new Float32Array(size)));
      arrays[`weight.${i}`] = await engine.put(ramp(size, i));
    }
    const gradients = Object.fromEntries(sizes.map((size, i) => [`gradient.${i}`, ramp(size, 2 * i)]));
    const scalars = { clip: float32([0.5], []), rate: float32([0.25], []) };
    for (let step = 0; step < 3; step++) arrays = await program.run({ ...arrays, ...gradients, ...scalars });
    for (const [i, size] of sizes.entries()) {
      const found = await numbers(arrays[`weight.${i}`]!);
      expect(found.length).toBe(size);
      for (const k of [0, size >> 1, size - 1]) {
        let [moment, weight] = [0, (k % 17) - i];
        for (let step = 0; step < 3; step++) {
          moment = moment * 0.9 + 0.5 * ((k % 17) - 2 * i);
          weight -= 0.25 * moment;
        }
        expect(found[k]).toBeCloseTo(weight, 4);
      }
    }
    await program.release();
  });

  test("state over 1,000 steps takes no more memory than over 100", async () => {
    const size = 1 << 18;
    const x = g.input("x", [size]);
    const next = g.add(x, g.input("rate", []));
    const program = await engine.compile({ outputs: { x: next, norm: g.sum(g.mul(next, next)) } }, { donate: ["x"] });
    let state = await engine.put(float32(new Float32Array(size)));
    const after: number[] = [];
    for (let step = 1; step <= 1000; step++) {
      const results: Record<string, DeviceArray> = await program.run({ x: state, rate: float32([1], []) });
      state = results.x!;
      await results.norm!.read();
      if (step === 100 || step === 1000) after.push(process.memoryUsage().rss);
    }
    expect((await numbers(state))[size - 1]).toBe(1000);
    expect(after[1]! - after[0]!).toBeLessThan(100 * 4 * size); // a leak of one array a step would be 900 of them
    state.release();
    await program.release();
  });

  test("two engines of one process do not disturb each other", async () => {
    const other = open();
    const outputs = { y: g.mul(g.input("x", [SIZE]), 2) };
    const [a, b] = await Promise.all([engine.compile({ outputs }), other.compile({ outputs })]);
    const [first, second] = await Promise.all([a.run({ x: filled(1) }), b.run({ x: filled(2) })]);
    expect([(await numbers(first.y!))[0], (await numbers(second.y!))[0]]).toEqual([2, 4]);
    await b.release();
    await other.release();
    expect((await numbers((await a.run({ x: filled(3) })).y!))[0]).toBe(6);
  });
}
