import { beforeAll, describe, expect, it } from "vitest";
import { float32, int32, type NDArray, sizeOf } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { visiblePlaces } from "../../src/diffusion/masking/masks.ts";
import { input } from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";
import { type MarConfig, marConfigSchema } from "../../src/models/mar/config.ts";
import { mar, marFamily } from "../../src/models/mar/mar.ts";
import { patchify, unpatchify } from "../../src/models/mar/patches.ts";
import { preset } from "../../src/models/presets.ts";
import { type Model, modelOf } from "../../src/models/registry.ts";
import { dropoutKeys } from "../../src/nn/dropout.ts";
import { Params } from "../../src/nn/params.ts";
import { type RunBlock, runOnly } from "../../src/nn/run-block.ts";
import { keepBlocks } from "../../src/pruning/keep-blocks.ts";
import { runGated } from "../../src/pruning/mask-execution.ts";
import { runRouted } from "../../src/pruning/run-routed.ts";
import { runOnce } from "../golden/dit-fixture.ts";
import { awakeWeights } from "../training/tiny.ts";

const config = marConfigSchema.parse({
  ...{ family: "mar", inputSize: 8, patchSize: 2, inChannels: 1, numClasses: 3, bufferSize: 2 },
  ...{ encoderDepth: 2, encoderSize: 16, encoderHeads: 2 },
  ...{ decoderDepth: 3, decoderSize: 12, decoderHeads: 3 },
  ...{ denoiserDepth: 1, denoiserSize: 8 },
});
const rows = 3;
const length = 16;
const random = (purpose: string, shape: readonly number[]) =>
  float32(normals({ seed: 5, purpose, step: 0, index: 0 }, sizeOf(shape)), shape);
const orders = [0, 5, 7].map((shift) => Int32Array.from({ length }, (_, i) => (5 * i + shift) % length));
const masked = 11;
const feeds = {
  tokens: random("tokens", [rows, length, 4]),
  visible: visiblePlaces(orders, masked, config.bufferSize),
  y: int32([0, 3, 2]),
};

function specsOf({ family, config }: Model) {
  const p = new Params();
  family.trace(p, config);
  return p.specs();
}

let weights: Map<string, NDArray<"float32">>;
beforeAll(() => {
  weights = awakeWeights(specsOf(modelOf(config)));
});

/** The conditions of all tokens, as numbers. */
async function conditions(
  given: MarConfig,
  runBlock: RunBlock,
  named: Record<string, NDArray>,
  { values = weights, isTraining = false } = {},
): Promise<Float32Array> {
  const z = mar(
    new Params(),
    given,
    {
      tokens: input("tokens", [rows, length, 4]),
      visible: input("visible", [rows, symbolicDim("visible")], "int32"),
      y: input("y", [rows], "int32"),
      ...(isTraining && { dropoutKey: input("key", [rows, 2], "int32") }),
    },
    runBlock,
  );
  const trunk = Object.fromEntries([...values].filter(([name]) => !name.startsWith("diffloss.")));
  return (await runOnce({ outputs: { z } }, { ...trunk, ...named })).z!.data as Float32Array;
}

const every: RunBlock = (block, h, _index, ...conditioning) => block(h, ...conditioning);
const largest = (a: Float32Array, b: Float32Array) => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

describe("the masked autoregressive model", () => {
  it.each([
    ["MAR-B", 208e6],
    ["MAR-L", 479e6],
    ["MAR-H", 943e6],
  ])("%s has the published number of parameters", (name, published) => {
    const total = specsOf(preset(name)).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    expect(Math.abs(total - published)).toBeLessThan(1e6);
  });

  it("MAR-Digits fits into 8 MB of float16, and TinyMAR-D16 is half of each stack of MAR-L", () => {
    const total = specsOf(preset("MAR-Digits")).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    expect(total).toBeLessThan(4e6);
    const large = preset("MAR-L");
    const half = Array.from({ length: 16 }, (_, i) => 2 * i);
    expect(large.family.keep(large.config, half)).toEqual(preset("TinyMAR-D16").config);
  });

  it("a configuration keeps its meaning through JSON and refuses a depth that is not the sum", () => {
    expect(modelOf(JSON.parse(JSON.stringify(config))).config).toEqual(config);
    expect(() => modelOf({ ...config, depth: 4 })).toThrow("depth must be encoderDepth + decoderDepth");
  });

  it("blocks are numbered through both stacks, and a kept set prunes both", async () => {
    expect(marFamily.stacks(config)).toEqual([2, 3]);
    const kept = [1, 2, 4];
    const pruned = marFamily.keep(config, kept);
    expect([pruned.encoderDepth, pruned.decoderDepth, pruned.depth]).toEqual([1, 2, 3]);
    const renamed = keepBlocks(modelOf(config), weights, kept);
    expect([...renamed.keys()].sort()).toEqual(
      specsOf(modelOf(pruned))
        .map(({ name }) => name)
        .sort(),
    );
    const small = await conditions(pruned, every, feeds, { values: renamed });
    const used = new Map([...weights].filter(([name]) => !/^(encoder_blocks\.0|decoder_blocks\.1)\./.test(name)));
    expect(small).toEqual(await conditions(config, runOnly(kept), feeds, { values: used }));
    expect(largest(small, await conditions(config, every, feeds))).toBeGreaterThan(0.01);
  });

  it("reads nothing of masked tokens, and all of visible ones", async () => {
    const z = await conditions(config, every, feeds);
    const changed = (place: (order: Int32Array) => number) => {
      const data = feeds.tokens.data.slice();
      orders.forEach((order, n) => {
        data[(n * length + place(order)) * 4] = 9;
      });
      return conditions(config, every, { ...feeds, tokens: float32(data, feeds.tokens.shape) });
    };
    expect(await changed((order) => order[masked - 1]!)).toEqual(z);
    expect(largest(await changed((order) => order[masked]!), z)).toBeGreaterThan(0.01);
  });

  it("drops by the key of the row and the place of the layer, in routed blocks as in dense ones", async () => {
    const shallow = marConfigSchema.parse({ ...config, encoderDepth: 1, decoderDepth: 1, depth: 2 });
    const training = { isTraining: true, values: keepBlocks(modelOf(config), weights, [0, 2]) };
    const key = dropoutKeys(1, 7, [4, 5, 6]);
    const kept = [
      [1, 0],
      [0, 1],
      [1, 1],
    ];
    const masks = float32(kept.flat(), [rows, 2]);
    const gated = runGated(input("masks", [rows, 2]));
    const dense = await conditions(shallow, gated, { ...feeds, key, masks }, training);
    const routed = await conditions(shallow, runRouted([]), { ...feeds, key, ...routesOf(kept) }, training);
    expect(largest(routed, dense)).toBeLessThan(1e-5);
    const next = { ...feeds, key: dropoutKeys(1, 8, [4, 5, 6]), masks };
    expect(largest(await conditions(shallow, gated, next, training), dense)).toBeGreaterThan(0.01);
  });
});

/** Feeds of routed blocks that run on the rows with a 1. */
function routesOf(kept: readonly number[][]): Record<string, NDArray> {
  const everyRow = kept.map((_, n) => n);
  return Object.fromEntries(
    kept[0]!.flatMap((_, i) => {
      const [on, off] = [1, 0].map((wanted) => everyRow.filter((n) => kept[n]![i] === wanted)) as [number[], number[]];
      const inverse = everyRow.map((n) => [...on, ...off].indexOf(n));
      return Object.entries({ kept: on, dropped: off, inverse }).map(([name, list]) => [`${name}.${i}`, int32(list)]);
    }),
  );
}

describe("patches", () => {
  it("put the channel first inside a token, and back", async () => {
    const many = marConfigSchema.parse({ ...config, inChannels: 3, inputSize: 6, depth: undefined });
    const images = random("images", [2, 3, 6, 6]);
    const found = await runOnce({ outputs: { tokens: patchify(input("images", images.shape), many) } }, { images });
    const tokens = found.tokens as NDArray<"float32">;
    expect(tokens.shape).toEqual([2, 9, 12]);
    // Token 5 of image 1 is row 1, column 2 of the grid; number 4 + 2 + 1 is channel 1, lower right.
    expect(tokens.data[(9 + 5) * 12 + 7]).toBe(images.data[(3 + 1) * 36 + 3 * 6 + 5]);
    expect(unpatchify(tokens, many)).toEqual(images);
  });
});
