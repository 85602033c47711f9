/** Scores of heads and channels by each criterion, worked by hand. */
import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32 } from "../../../src/array/ndarray.ts";
import type { ChannelGroups } from "../../../src/pruning/width/channel-groups.ts";
import { gradientsOf, groupScores, mostImportant, randomScores } from "../../../src/pruning/width/importance.ts";

/** Two channels: rows of fc1 [2, 2], columns of fc2 [1, 2]. */
const channels: ChannelGroups = {
  count: 2,
  size: 1,
  weights: [
    { name: "fc1", axis: 0, start: 0 },
    { name: "fc2", axis: 1, start: 0 },
  ],
  biases: [],
};
const weights = new Map([
  ["fc1", float32([1, -2, 3, 4], [2, 2])],
  ["fc2", float32([5, 0.5], [1, 2])],
]);
const gradients = new Map([
  ["fc1", Float32Array.of(2, 1, -1, 1)],
  ["fc2", Float32Array.of(-0.1, 2)],
]);
const values = { weights, gradients };

describe("the importance of a channel", () => {
  it("is Σ|w·g| by diff-pruning", () => {
    // 1·2, −2·1, 5·(−0.1) and 3·(−1), 4·1, 0.5·2
    expect([...groupScores("diff-pruning", channels, values)].map((x) => x.toFixed(6))).toEqual([
      "4.500000",
      "8.000000",
    ]);
  });

  it("is |Σ w·g| by taylor, where terms cancel", () => {
    expect([...groupScores("taylor", channels, values)].map((x) => x.toFixed(6))).toEqual(["0.500000", "2.000000"]);
  });

  it("is Σ w² by magnitude, without gradients", () => {
    expect([...groupScores("magnitude", channels, { weights, gradients: new Map() })]).toEqual([30, 25.25]);
  });
});

it("a head has its rows of queries, keys and values, and its columns of the projection", () => {
  // Two heads of size 2: qkv [12, 1] counts its rows, proj [1, 4].
  const heads: ChannelGroups = {
    count: 2,
    size: 2,
    weights: [
      ...[0, 4, 8].map((start) => ({ name: "qkv", axis: 0 as const, start })),
      { name: "proj", axis: 1, start: 0 },
    ],
    biases: [],
  };
  const rows = Float32Array.from({ length: 12 }, (_, i) => i);
  const of = new Map([
    ["qkv", float32(rows, [12, 1])],
    ["proj", float32([100, 200, 300, 400], [1, 4])],
  ]);
  const ones = new Map([
    ["qkv", new Float32Array(12).fill(1)],
    ["proj", new Float32Array(4).fill(1)],
  ]);
  const scores = groupScores("taylor", heads, { weights: of, gradients: ones });
  expect([...scores]).toEqual([0 + 1 + 4 + 5 + 8 + 9 + 300, 2 + 3 + 6 + 7 + 10 + 11 + 700]);
});

it("lots depend on seed, kind and block, and on nothing else", () => {
  const lot = [...randomScores(1, "heads", 0, 8)];
  expect([...randomScores(1, "heads", 0, 8)]).toEqual(lot);
  for (const other of [
    randomScores(2, "heads", 0, 8),
    randomScores(1, "channels", 0, 8),
    randomScores(1, "heads", 1, 8),
  ]) {
    expect([...other]).not.toEqual(lot);
  }
});

it("criteria say which timesteps they need", () => {
  expect((["diff-pruning", "taylor", "magnitude", "random"] as const).map(gradientsOf)).toEqual([
    "informative",
    "every",
    "none",
    "none",
  ]);
});

describe("choosing", () => {
  it("keeps the highest scores in ascending order, of equals the first", () => {
    expect(mostImportant(Float64Array.of(1, 3, 2, 3, 1), 3, "here")).toEqual([1, 2, 3]);
    expect(mostImportant(Float64Array.of(1, 1, 1, 1), 2, "here")).toEqual([0, 1]);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("refuses a score of %s", (score) => {
    const choose = () => mostImportant(Float64Array.of(1, score), 1, "m.safetensors: block 3, heads");
    expect(choose).toThrow(InputError);
    expect(choose).toThrow(/block 3, heads: the importance of group 1 is/);
  });
});
