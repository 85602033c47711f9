/** Whole images with a cache: what it keeps, what it costs, and what it is refused for. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32, int32, type NDArray } from "../../../src/array/ndarray.ts";
import { normals } from "../../../src/array/random.ts";
import { runAndRead } from "../../../src/engine/engine.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { input } from "../../../src/graph/build.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { predictor } from "../../../src/models/registry.ts";
import { Params } from "../../../src/nn/params.ts";
import { type RunBlock, residualBlock, runOnly } from "../../../src/nn/run-block.ts";
import { keepBlocks } from "../../../src/pruning/keep-blocks.ts";
import { agesAt } from "../../../src/sampling/caching/error-curves.ts";
import type { CacheRecord } from "../../../src/sampling/caching/step-cache.ts";
import { compileSampler } from "../../../src/sampling/compile-sampler.ts";
import { type SampleImagesRequest, sampleImages } from "../../../src/sampling/sample-images.ts";
import type { CacheCurves, SamplingSettings } from "../../../src/sampling/sampling-settings.ts";
import { type Row, rows } from "../../conformance/models.ts";
import { countedEngine } from "../../engine/counted-engine.ts";

import "../../golden/matchers.ts";

const folder = mkdtempSync(join(tmpdir(), "cache-"));
afterAll(() => rmSync(folder, { recursive: true }));

const engine = countedEngine(cpuEngine({ threads: 1 }));
const rowOf = (start: string): Row => rows.find(({ name }) => name.startsWith(start))!;
const [dit, sit] = [rowOf("DiT with"), rowOf("SiT, velocities")];
const BATCH = 4;

const drawWith = ({ model, weights, process }: Row, change: Partial<SampleImagesRequest>) =>
  sampleImages({ engine, model, weights, process, labels: 6, seed: 7, internalBatch: BATCH, ...change });
const bits = (images: NDArray, end = images.shape[0]!) => [...(images.rows(0, end).data as Float32Array)];
const factsOf = (derived: Readonly<Record<string, unknown>>) => derived.cache as CacheRecord;

/** Curves by which, at tolerance 1, a kind is reused where its error is 0. */
function curvesFor(
  row: Row,
  settings: SamplingSettings,
  evaluations: number,
  isClose: { attention: boolean[]; mlp: boolean[] },
) {
  const errors = (close: boolean[]) =>
    Array.from({ length: evaluations }, (_, i) =>
      Array.from({ length: agesAt(i, evaluations) }, (_age, k) => (close[i + k + 1] ? 0 : 2)),
    );
  const { depth } = row.model.config;
  return {
    measured: { images: 1, evaluations, branches: { attention: depth, mlp: depth }, process: row.process, settings },
    errors: { attention: errors(isClose.attention), mlp: errors(isClose.mlp) },
  } satisfies CacheCurves;
}

const euler: SamplingSettings = { sampler: "euler", steps: "6", cfgScale: 1, cfgChannels: 2 };
/** Evaluations 1 to 3 reuse both, MLPs, attention: with the first and last, four graphs. */
const close = { attention: [false, true, false, true, false], mlp: [false, true, true, false, false] };

const everySampler = [dit, sit].flatMap((row) =>
  Object.entries(row.samplers).flatMap(([name, settings]) =>
    name === "dopri5" ? [] : [[name, row, settings] as const],
  ),
);

describe.each(everySampler)("%s with a cache", (_, row, settings) => {
  const all = { ...settings, cache: 1e9, cacheImages: 3 };

  test("draws, at tolerance 0, the bits it draws without", async () => {
    const none = await drawWith(row, { ...settings, cache: 0 });
    expect(bits(none.images)).toEqual(bits((await drawWith(row, settings)).images));
    expect(none.settings.cache).toBe(0);
    expect(none.derived).not.toHaveProperty("cache");
  });

  test("draws image i by seed and number only, the same every time", async () => {
    const many = await drawWith(row, all);
    expect(factsOf(many.derived).savedShare).toBeGreaterThan(0.2);
    expect(Object.keys(factsOf(many.derived).graphs).length).toBeLessThanOrEqual(4);
    expect(bits((await drawWith(row, all)).images)).toEqual(bits(many.images));
    expect(bits((await drawWith(row, { ...all, labels: 3 })).images)).toEqual(bits(many.images, 3));
    const cutElsewhere = await drawWith(row, { ...all, internalBatch: 6 });
    expect(cutElsewhere.images).toMatchGolden(many.images, { relative: 2e-6 });
    expect(bits(many.images)).not.toEqual(bits((await drawWith(row, settings)).images));
  });

  test("has one schedule for all seeds", async () => {
    const [a, b] = [await drawWith(row, { ...all, seed: 1 }), await drawWith(row, { ...all, seed: 2 })];
    expect(factsOf(a.derived)).toEqual(factsOf(b.derived));
    expect(bits(a.images)).not.toEqual(bits(b.images));
  });
});

describe("a schedule that is written down", () => {
  const curves = curvesFor(sit, euler, 5, close);

  /** Every evaluation a graph of its own, all deltas kept on the host. */
  async function byHand(): Promise<NDArray> {
    const { inChannels, inputSize } = sit.model.config;
    const shape = [BATCH, inChannels, inputSize, inputSize];
    const size = inChannels * inputSize ** 2;
    const noise = [0, 1, 2, 3].flatMap((index) => [
      ...normals({ seed: 7, purpose: "sample noise", step: 0, index }, size),
    ]);
    let [x, state]: [NDArray, Record<string, NDArray>] = [float32(noise, shape), {}];
    for (let k = 0; k < 5; k++) {
      const deltas: Record<string, Tensor> = {};
      const runBlock: RunBlock = (block, h, index, ...c) => {
        const branches = block.branches.map(({ name, delta }) => ({
          name,
          delta: (from: Tensor, ...rest: Tensor[]) => {
            const isReused = close[name as "mlp"][k]!;
            deltas[`${name}${index}`] = isReused ? input(`${name}${index}`, from.shape) : delta(from, ...rest);
            return deltas[`${name}${index}`]!;
          },
        }));
        return residualBlock(branches)(h, ...c);
      };
      const inputs = { x: input("x", shape), t: input("t", [BATCH]), y: input("y", [BATCH], "int32") };
      const velocity = predictor(sit.model, new Params(), runBlock)(inputs);
      const fresh = Object.fromEntries(Object.entries(deltas).filter(([, { node }]) => node.op !== "input"));
      const session = await engine.compile({ outputs: { velocity, ...fresh } });
      const feeds = { x, t: float32(new Float32Array(BATCH).fill(k / 5)), y: int32([0, 1, 2, 0]) };
      const found = await runAndRead(session, { ...Object.fromEntries(sit.weights), ...state, ...feeds });
      await session.release();
      const slope = found.velocity!.data as Float32Array;
      x = float32(
        (x.data as Float32Array).map((value, i) => value + slope[i]! / 5),
        shape,
      );
      state = { ...state, ...found };
    }
    return x;
  }

  test("is followed as it would be by hand", async () => {
    const { images, derived } = await drawWith(sit, { ...euler, cache: 1, cacheCurves: curves, labels: 4 });
    expect(images).toMatchGolden(await byHand(), { relative: 1e-5 });
    const { tokens, hiddenSize, depth } = { tokens: 4, hiddenSize: 16, depth: 4 };
    expect(factsOf(derived)).toEqual({
      ...{ tolerance: 1, savedShare: 0.4, curves },
      computedAt: { attention: [0, 2, 4], mlp: [0, 3, 4] },
      graphs: { "all computed": 2, "attention and mlp reused": 1, "mlp reused": 1, "attention reused": 1 },
      residentBytes: 2 * depth * BATCH * tokens * hiddenSize * 4,
    });
  });

  test("keeps only what it reuses, twice where guidance doubles the rows", async () => {
    const settings = { ...euler, cfgScale: 2 };
    const mlpOnly = curvesFor(sit, settings, 5, { ...close, attention: new Array(5).fill(false) });
    const { derived } = await drawWith(sit, { ...settings, cache: 1, cacheCurves: mlpOnly });
    const { graphs, residentBytes } = factsOf(derived);
    expect(graphs).toEqual({ "all computed": 3, "mlp reused": 2 });
    expect(residentBytes).toBe(4 * 2 * BATCH * 4 * 16 * 4);
  });

  test("that reuses nothing keeps nothing and draws the same bits", async () => {
    const never = curvesFor(sit, euler, 5, { attention: new Array(5).fill(false), mlp: new Array(5).fill(false) });
    const { images, derived } = await drawWith(sit, { ...euler, cache: 1, cacheCurves: never });
    expect(factsOf(derived)).toMatchObject({ graphs: { "all computed": 5 }, residentBytes: 0, savedShare: 0 });
    expect(bits(images)).toEqual(bits((await drawWith(sit, euler)).images));
  });

  test("is for one batch at a time", async () => {
    const request = { engine, model: sit.model, weights: sit.weights, seed: 1, batch: 2 };
    const sampler = await compileSampler(request, sit.process, { ...euler, cache: 1, cacheCurves: curves });
    const batch = { first: 0, y: new Int32Array(2), rows: 2, onModelEvaluation: () => {} };
    const [first, second] = [sampler.sample(batch), sampler.sample(batch)];
    await expect(first).rejects.toThrow("draws one batch at a time");
    expect(bits(await second)).toEqual(bits(await sampler.sample(batch)));
    await sampler.release();
  });
});

describe("curves that a run measured", () => {
  const settings = { steps: "5", sampler: "dpm++2m", cache: 1e9, cacheImages: 2 };
  const again = { steps: "5", sampler: "dpm++2m", cache: 1e9 };

  test.each<[string, (facts: CacheRecord) => object]>([
    ["samples.json", (cache) => ({ settings: {}, cache })],
    ["notes.json", (cache) => ({ derived: { timesteps: [], cache } })],
    ["curves.json", ({ curves }) => curves],
  ])("give the same bits from %s, without measuring", async (name, jsonOf) => {
    const first = await drawWith(dit, settings);
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify(jsonOf(factsOf(first.derived))));
    const before = engine.counters.runs;
    const second = await drawWith(dit, { ...again, cacheCurves: path });
    expect(engine.counters.runs - before).toBe(2 * 5);
    expect(bits(second.images)).toEqual(bits(first.images));
    expect(factsOf(second.derived)).toEqual(factsOf(first.derived));
  });

  test("change with the tolerance only in what is reused", async () => {
    const { curves } = factsOf((await drawWith(dit, settings)).derived);
    const some = curves.errors.mlp[0]![0]!;
    const { derived } = await drawWith(dit, { ...again, cache: some, cacheCurves: curves });
    expect(factsOf(derived).computedAt.mlp).toContain(1);
    const { derived: more } = await drawWith(dit, { ...again, cache: some * 1.0001, cacheCurves: curves });
    expect(factsOf(more).computedAt.mlp).not.toContain(1);
  });

  test("of a model that runs some blocks are those of the model pruned to them", async () => {
    const kept = [1, 2];
    const pruned = {
      ...dit,
      model: { family: dit.model.family, config: dit.model.family.keep(dit.model.config, kept) },
      weights: keepBlocks(dit.model, dit.weights, kept) as Row["weights"],
    };
    const [some, slim] = [
      await drawWith(dit, { ...settings, runBlock: runOnly(kept) }),
      await drawWith(pruned, settings),
    ];
    expect(bits(some.images)).toEqual(bits(slim.images));
    expect(factsOf(some.derived)).toEqual(factsOf(slim.derived));
    expect(factsOf(some.derived).curves.measured.branches).toEqual({ attention: 2, mlp: 2 });
  });
});

describe("a cache is refused, in a sentence,", () => {
  const curves = curvesFor(sit, euler, 5, close);
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const short = { ...curves, errors: { ...curves.errors, mlp: [[0]] } };
  test.each<[string, Row, Partial<SampleImagesRequest>, RegExp]>([
    ["of a negative tolerance", dit, { cache: -0.1 }, /expected a tolerance of at least 0.*got -0.1/],
    ["of no number", dit, { cache: Number.NaN }, /expected a tolerance.*got NaN/],
    ["without a tolerance", dit, { cacheImages: 4 }, /without a tolerance/],
    ["with curves and images", dit, { cache: 1, cacheImages: 4, cacheCurves: curves }, /give one of the two/],
    ["measured on nothing", dit, { cache: 1, cacheImages: 0 }, /at least 1 image to measure on, got 0/],
    ["for dopri5", sit, { cache: 0.1, sampler: "dopri5" }, /fixed number of evaluations, found dopri5/],
    ["for tokens", rowOf("MAR"), { cache: 0.1 }, /masked autoregressive model.*leave the cache out/],
    ["where no block runs", dit, { cache: 0.1, runBlock: runOnly([]) }, /no attention or MLP of this model runs/],
    [
      "by curves of other steps",
      sit,
      { ...euler, steps: "7", cache: 1, cacheCurves: curves },
      /with evaluations 5, not 6/,
    ],
    ["by curves of other guidance", sit, { ...euler, cfgScale: 3, cache: 1, cacheCurves: curves }, /cfgScale 1, not 3/],
    [
      "by curves of other blocks",
      sit,
      { ...euler, cache: 1, cacheCurves: curves, runBlock: runOnly([0]) },
      /attention 4, not 1/,
    ],
    [
      "by curves of another process",
      rowOf("SiT, weighted"),
      { ...euler, cache: 1, cacheCurves: curves },
      /path "linear", not "gvp"/,
    ],
    ["by curves cut short", sit, { ...euler, cache: 1, cacheCurves: short }, /5 lists of errors of mlp/],
    [
      "by a file of none",
      sit,
      { ...euler, cache: 1, cacheCurves: file("a.json", "[1]") },
      /expected error curves in .*a\.json/,
    ],
    ["by a file of no JSON", sit, { ...euler, cache: 1, cacheCurves: file("b.json", "{") }, /b\.json: expected JSON/],
    ["by no file", sit, { ...euler, cache: 1, cacheCurves: join(folder, "none.json") }, /none\.json/],
  ])("%s", async (_, row, change, message) => {
    const result = drawWith(row, change);
    await expect(result).rejects.toThrow(InputError);
    await expect(result).rejects.toThrow(message);
  });

  test("and stops while it is measured", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    const before = engine.counters.runs;
    await expect(drawWith(dit, { cache: 0.1, steps: "5", signal })).rejects.toThrow("enough");
    expect(engine.counters.runs).toBe(before);
  });
});
