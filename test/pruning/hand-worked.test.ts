/** Every method on four blocks, with numbers that were worked out by hand. */
import { describe, expect, it } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { constant } from "../../src/graph/build.ts";
import { modelOf } from "../../src/models/registry.ts";
import {
  type Measure,
  meanOfBatchMeans,
  meanOfRows,
  measureGraph,
  runMeasure,
  squaredDifference,
  tokenCosine,
} from "../../src/pruning/block-scores.ts";
import { keepHighest, parseBudget } from "../../src/pruning/budget.ts";
import { oracle, random, randomMask, uniform } from "../../src/pruning/fixed-pruners.ts";
import { type Group, parseGroups } from "../../src/pruning/groups.ts";
import {
  candidateLosses,
  inMiddle,
  minLoss,
  pick,
  randomMedian,
  removeGreedily,
  skipScores,
} from "../../src/pruning/loss-pruners.ts";
import type { MaskLoss, PrunerSettings } from "../../src/pruning/pruner.ts";
import { countedExamples, importance } from "../../src/pruning/taylor.ts";

const settings: PrunerSettings = {
  ...{ seed: 0, influenceInputs: "noised", protectLast: false, candidates: 5, lossThreshold: 0 },
};
const modelOfDepth = (depth: number) =>
  modelOf({ inputSize: 4, patchSize: 2, inChannels: 1, hiddenSize: 4, depth, numHeads: 1, numClasses: 2 });
const fixed = (groups: readonly Group[], depth = 4) => ({ model: modelOfDepth(depth), groups, settings });

describe("states of two tokens, (1, 0) and (0, 1), that four blocks turn and stretch", () => {
  // Block 0 turns both by a right angle, 1 stretches both to length 3, 2 turns the second by a half circle, 3 does nothing.
  const states = [
    [1, 0, 0, 1],
    [0, 1, -1, 0],
    [0, 3, -3, 0],
    [0, 3, 3, 0],
    [0, 3, 3, 0],
  ].map((values) => constant(float32([...values, ...values], [2, 2, 2])));
  const segments = states.slice(1).map((end, i) => ({ start: states[i]!, end }));
  const measured = async (measure: Measure) =>
    meanOfRows(
      await runMeasure(
        { engine: cpuEngine({ threads: 1 }), weights: new Map(), hooks: {} },
        measureGraph(segments, measure),
        [{ feeds: {}, count: 2 }],
      ),
    );

  it("shortgpt: influence 1, 0, 1 and 0", async () => {
    const scores = (await measured(tokenCosine)).map((cosine) => 1 - cosine);
    for (const [block, by] of [1, 0, 1, 0].entries()) expect(scores[block]).toBeCloseTo(by, 6);
    // In the group of blocks 0 and 1 the first matters, in that of 2 and 3 too.
    expect(keepHighest(scores, parseGroups("1:2", 4))).toEqual([0, 2]);
  });

  it("flux-lite: squared differences 1, 2, 9 and 0", async () => {
    // (1 + 1 + 1 + 1) / 4; (0 + 4 + 4 + 0) / 4; (0 + 0 + 36 + 0) / 4.
    const scores = await measured(squaredDifference);
    for (const [block, by] of [1, 2, 9, 0].entries()) expect(scores[block]).toBeCloseTo(by, 5);
    expect(keepHighest(scores, parseBudget("2", 4))).toEqual([1, 2]);
  });
});

it("shortgpt, as the original averages: a last, smaller batch counts as much as the others", () => {
  const rows = [[1], [3], [8]].map((row) => Float64Array.from(row));
  expect(meanOfBatchMeans(rows, 2)).toEqual([(2 + 8) / 2]);
  expect(meanOfRows(rows)).toEqual([4]);
});

/** The loss is 10, less what each kept block is worth; blocks 1 and 2 are worth 3 together, and each as much alone. */
const lossOf = async (kept: readonly number[]): Promise<number> => {
  const has = (block: number): number => (kept.includes(block) ? 1 : 0);
  return 10 - 4 * has(0) - 3 * Math.max(has(1), has(2)) - 2 * has(3);
};

describe("losses 10 − 4 [0] − 3 [1 or 2] − 2 [3]", () => {
  it("sensitivity: rises 4, 0, 0 and 2, so that both halves of the pair go", async () => {
    const { scores, whole } = await skipScores(4, lossOf);
    expect(scores).toEqual([4, 0, 0, 2]);
    expect(whole).toEqual({ kept: [0, 1, 2, 3], loss: 1 });
    expect(keepHighest(scores, parseBudget("2", 4))).toEqual([0, 3]);
  });

  it("loss-greedy: half of the pair goes, then what is worth least", async () => {
    const { kept, losses } = await removeGreedily(parseBudget("2", 4), lossOf);
    expect(kept).toEqual([0, 2]);
    expect(losses).toEqual([
      { kept: [0, 2, 3], loss: 1 },
      { kept: [0, 2], loss: 3 },
    ]);
  });

  it("loss-greedy in groups: a group that has met its budget loses nothing more", async () => {
    // 1 goes from the first pair for nothing; of 2 and 3 the second is worth less.
    expect((await removeGreedily(parseGroups("1:2", 4), lossOf)).kept).toEqual([0, 2]);
    const free = async (kept: readonly number[]) => 10 - kept.filter((block) => block < 2).length;
    expect((await removeGreedily(parseGroups("1:2", 4), free)).kept).toEqual([1, 3]);
  });

  it("a loss that is not a number is never the smallest", async () => {
    const broken = async (kept: readonly number[]) => (kept.includes(0) ? Number.NaN : kept.length);
    expect((await removeGreedily(parseBudget("3", 4), broken)).kept).toEqual([1, 2, 3]);
    await expect(removeGreedily(parseBudget("3", 4), async () => Number.NaN)).rejects.toThrow(/the loss is NaN/);
  });
});

describe("taylor", () => {
  it("sums |θ · g| over a block's weights", () => {
    // Blocks of one weight matrix each: 1·2 + 2·1, 1·1 + |3·−1|, 0, |−2·2| + |1·−3|.
    const blocks = [
      [
        [1, 2],
        [2, 1],
      ],
      [
        [1, 3],
        [1, -1],
      ],
      [
        [0, 0],
        [5, 5],
      ],
      [
        [-2, 1],
        [2, -3],
      ],
    ] as const;
    const scores = blocks.map(([weights, gradients]) =>
      importance(Float32Array.from(weights), Float32Array.from(gradients)),
    );
    expect(scores).toEqual([4, 4, 0, 7]);
    expect(keepHighest(scores, parseBudget("2", 4))).toEqual([0, 3]);
  });

  it("counts examples whose loss is more than a share of the largest", () => {
    expect(countedExamples([1, 0.2, 0.05, 0.04], 0.05)).toEqual([true, true, false, false]);
    expect(countedExamples([1, 0], 0)).toEqual([true, true]);
  });
});

describe("rules of thumb", () => {
  it("uniform: every other block, and evenly spaced ones in other budgets", () => {
    expect(uniform.choose(fixed(parseGroups("1:2", 4))).kept).toEqual([0, 2]);
    expect(uniform.choose(fixed(parseBudget("3", 4))).kept).toEqual([0, 1, 2]);
    expect(uniform.choose(fixed(parseBudget("1", 4))).kept).toEqual([0]);
    expect(uniform.choose(fixed(parseBudget("4", 10), 10)).kept).toEqual([0, 2, 5, 7]);
  });

  it("oracle: the ends of the row, towards the middle", () => {
    expect(oracle.choose(fixed(parseGroups("1:2", 4))).kept).toEqual([0, 3]);
    expect(oracle.choose(fixed(parseGroups("2:4", 4))).kept).toEqual([0, 3]);
    expect(oracle.choose(fixed(parseBudget("3", 4))).kept).toEqual([0, 1, 3]);
    expect(oracle.choose(fixed(parseGroups("2:4", 8), 8)).kept).toEqual([0, 2, 5, 7]);
    // Three pairs: the middle one lies across the middle of the row.
    expect(oracle.choose(fixed(parseGroups("1:2", 6), 6)).kept).toEqual([0, 2, 5]);
  });
});

describe("random masks", () => {
  const groups = parseGroups("1:2", 4);

  it("fit the groups, come again with the seed, and take every choice equally often", () => {
    const drawn = Array.from({ length: 800 }, (_, i) => randomMask(groups, 3, i).join());
    const counts = new Map<string, number>();
    for (const mask of drawn) counts.set(mask, (counts.get(mask) ?? 0) + 1);
    expect([...counts.keys()].sort()).toEqual(["0,2", "0,3", "1,2", "1,3"]);
    // Each has probability ¼: 200 ± 5 standard deviations of 12.
    for (const count of counts.values()) expect(Math.abs(count - 200)).toBeLessThan(61);
    expect(random.choose({ ...fixed(groups), settings: { ...settings, seed: 3 } }).kept.join()).toBe(drawn[0]);
  });

  it("have the losses of their masks, each run once", async () => {
    const asked: string[] = [];
    const losses = await candidateLosses({ groups, settings: { ...settings, candidates: 40 } }, async (kept) => {
      asked.push(kept.join());
      return lossOf(kept);
    });
    expect(losses).toHaveLength(40);
    expect(asked.sort()).toEqual(["0,2", "0,3", "1,2", "1,3"]);
    for (const { kept, loss } of losses) expect(loss).toBe(await lossOf(kept));
  });

  const listed: MaskLoss[] = [5, 1, 4, 2].map((loss, i) => ({ kept: [i], loss }));
  it("random-median takes the lower of the two in the middle, min-loss the smallest", () => {
    expect([1, 2, 3, 4, 100].map(inMiddle)).toEqual([0, 0, 1, 1, 49]);
    expect(pick(listed, inMiddle).kept).toEqual([3]);
    expect(pick(listed, () => 0).kept).toEqual([1]);
    expect([randomMedian.summary, minLoss.summary]).toEqual([
      expect.stringContaining("median"),
      expect.stringContaining("smallest"),
    ]);
  });
});
