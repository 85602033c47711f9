/** Scores and masks of blocks against the original: block influence, skip losses, and the oracle's indices. */
import { describe, expect, it } from "vitest";
import { float32, type NDArray } from "../../src/array/ndarray.ts";
import { type DiffusionBatch, denoise, lossOf } from "../../src/diffusion/losses.ts";
import { namedSchedule } from "../../src/diffusion/schedule.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { input } from "../../src/graph/build.ts";
import { dit } from "../../src/models/dit/dit.ts";
import { modelOf } from "../../src/models/registry.ts";
import { Params } from "../../src/nn/params.ts";
import { runOnly } from "../../src/nn/run-block.ts";
import { cleanGraph, meanOfBatchMeans, runMeasure } from "../../src/pruning/block-scores.ts";
import { keepHighest, lastBlocks, parseBudget } from "../../src/pruning/budget.ts";
import { oracle } from "../../src/pruning/fixed-pruners.ts";
import { parseGroups } from "../../src/pruning/groups.ts";
import { skipScores } from "../../src/pruning/loss-pruners.ts";
import type { PrunerSettings } from "../../src/pruning/pruner.ts";
import { baseWeights, type DiTSettings, fixtureConfig, runOnce } from "./dit-fixture.ts";
import { atLeastOne, loadFixture } from "./fixture.ts";
import "./matchers.ts";

interface Settings extends DiTSettings {
  readonly depth: number;
  readonly weights_file: string;
  readonly n_batches: number;
}

interface Expected {
  readonly n_pruned: Readonly<Record<string, { removed_order: number[]; kept: number[] }>>;
  readonly bksdm_oracle: Readonly<Record<string, number[]>>;
  readonly sens_order_least_sensitive_first: readonly number[];
  readonly sens_delta: readonly number[];
  readonly pruned_loss: { readonly kept: readonly number[]; readonly loss: number };
}

const { settings, expected, tensor } = loadFixture<Settings, Expected>("07_scores");
const config = fixtureConfig(settings, settings.depth);
const model = modelOf(config);
const weights = baseWeights(settings.weights_file, settings.depth);
const meanOf = ({ data }: NDArray): number => (data as Float32Array).reduce((a, b) => a + b, 0) / data.length;

describe("block influence of the original script", () => {
  const influence = async () => {
    const names = Array.from({ length: settings.n_batches }, (_, i) => `batch${i}`);
    const rows = tensor(`${names[0]}/x`).shape[0]!;
    const batches = names.map((name) => ({
      feeds: {
        x: tensor(`${name}/x`),
        t: float32(Float32Array.from(tensor(`${name}/t`).data as Int32Array)),
        y: tensor(`${name}/y`),
      },
      count: rows,
    }));
    const context = { engine: cpuEngine(), weights: new Map(Object.entries(weights)), hooks: {} };
    return { rows, values: await runMeasure(context, cleanGraph(model, rows), batches) };
  };

  it("has the same cosines, in each batch and over all", async () => {
    const { rows, values } = await influence();
    const perBatch = tensor("bi/per_batch");
    for (let batch = 0; batch < settings.n_batches; batch++) {
      const own = float32(meanOfBatchMeans(values.slice(batch * rows, (batch + 1) * rows), rows));
      expect(own).toMatchGolden(perBatch.rows(batch, batch + 1).reshape([settings.depth]), { relative: 1e-5 });
    }
    expect(float32(meanOfBatchMeans(values, rows))).toMatchGolden(tensor("bi/scores"), { relative: 1e-5 });
  });

  const cases = atLeastOne(Object.entries(expected.n_pruned), "numbers of removed blocks");
  it.each(cases)("removes the same %s blocks, never the last", async (count, { removed_order, kept }) => {
    const { rows, values } = await influence();
    const scores = meanOfBatchMeans(values, rows).map((cosine) => 1 - cosine);
    const budget = parseBudget(String(settings.depth - Number(count)), settings.depth);
    const own = keepHighest(scores, budget, lastBlocks(settings.depth));
    expect(own).toEqual(kept);
    const removed = scores.map((_, block) => block).filter((block) => !own.includes(block));
    expect(removed.sort((a, b) => scores[a]! - scores[b]!)).toEqual(removed_order);
  });
});

describe("skip losses", () => {
  /** The loss of each example with these blocks. */
  async function losses(kept: readonly number[]): Promise<NDArray> {
    const x = tensor("sens/x_start");
    const batch: DiffusionBatch = {
      xStart: input("xStart", x.shape),
      noise: input("noise", x.shape),
      index: input("index", [x.shape[0]!], "int32"),
      y: input("y", [x.shape[0]!], "int32"),
    };
    const run = (io: Parameters<typeof dit>[2]) => dit(new Params(), config, io, runOnly(kept));
    const schedule = namedSchedule("linear", 1000);
    const { loss } = lossOf(denoise(run, schedule, batch), schedule, batch);
    const feeds = { xStart: x, noise: tensor("sens/noise"), index: tensor("sens/t"), y: tensor("sens/y"), ...weights };
    return (await runOnce({ outputs: { loss } }, feeds)).loss!;
  }

  it("rise by as much when a block is skipped, and put the blocks in the same order", async () => {
    const perMask: NDArray[] = [];
    const { scores } = await skipScores(settings.depth, async (kept) => {
      perMask.push(await losses(kept));
      return meanOf(perMask.at(-1)!);
    });
    expect(perMask[0]).toMatchGolden(tensor("sens/full_loss"), { relative: 1e-4 });
    perMask.slice(1).forEach((loss, block) => {
      expect(loss).toMatchGolden(
        tensor("sens/skip_loss")
          .rows(block, block + 1)
          .reshape(loss.shape),
        {
          relative: 1e-4,
        },
      );
    });
    expect(float32(scores)).toMatchGolden(float32(expected.sens_delta), { relative: 1e-4 });
    const order = scores.map((_, block) => block).sort((a, b) => scores[a]! - scores[b]!);
    expect(order).toEqual(expected.sens_order_least_sensitive_first);
  });

  it("are the same for a model without several blocks", async () => {
    const loss = await losses(expected.pruned_loss.kept);
    expect(loss).toMatchGolden(tensor("sens/pruned_loss"), { relative: 1e-4 });
    expect(meanOf(loss) / expected.pruned_loss.loss).toBeCloseTo(1, 4);
  });
});

describe("the oracle", () => {
  const cases = atLeastOne(Object.entries(expected.bksdm_oracle), "depths of the oracle");
  it.each(cases)("keeps the same half of %s blocks, as a budget and in groups", (text, kept) => {
    const depth = Number(text);
    const context = { model: modelOf({ ...config, depth }), settings: {} as PrunerSettings };
    expect(oracle.choose({ ...context, groups: parseBudget(String(kept.length), depth) }).kept).toEqual(kept);
    if (2 * kept.length !== depth) return;
    expect(oracle.choose({ ...context, groups: parseGroups("1:2", depth) }).kept).toEqual(kept);
  });
});
