/** Recomputing blocks in the backward pass changes no bit of what any family learns. */
import { describe, expect, it } from "vitest";
import { parseGroups } from "../../src/pruning/groups.ts";
import { keepBlocks } from "../../src/pruning/keep-blocks.ts";
import { layerMap } from "../../src/pruning/layer-map.ts";
import { learnDefaults, learnMasks } from "../../src/pruning/learn.ts";
import { distillDefaults } from "../../src/training/distill.ts";
import { finetuneDefaults, finetuneTask } from "../../src/training/finetune.ts";
import type { Task } from "../../src/training/loop.ts";
import { trainDefaults, trainTask } from "../../src/training/train.ts";
import type { ModelFile } from "../../src/weights/model-file.ts";
import { valuesOf } from "../training/values-of.ts";
import { BATCH, engine } from "./evaluate.ts";
import { data, type Row, rows } from "./models.ts";

const small = { batchSize: BATCH, microBatch: 3, labelDrop: 0.5, seed: 4, steps: 4 };
const fileOf = ({ model, weights, process, name }: Row): ModelFile => ({
  ...{ model, tensors: weights, process, weights: "raw", images: 0, prunings: [] },
  ...{ path: name, sha256: "ab".repeat(32) },
});
const kept = [1, 2];

/** Values of everything that a checkpoint would hold. */
const learnedBy = (task: Pick<Task, "checkpoint">) => Promise.all(Object.values(task.checkpoint().files).map(valuesOf));

/** Two steps of whatever it is, and everything that came out. */
const ways: Readonly<Record<string, (row: Row, recompute: boolean) => Promise<unknown>>> = {
  training: async (row, recompute) => {
    const settings = { ...trainDefaults, ...small, process: row.process, recompute };
    const task = await trainTask(engine, row.model, data, settings, fileOf(row));
    const reports = [await task.step(0), await task.step(1)];
    const learned = await learnedBy(task);
    await task.release();
    return { reports, learned };
  },
  distillation: async (row, recompute) => {
    const { family, config } = row.model;
    const model = { family, config: family.keep(config, kept) };
    const student = { ...row, model, weights: keepBlocks(row.model, row.weights, kept) };
    const pairs = layerMap("paper", family.stacks(config), kept);
    const distill = { ...distillDefaults, kind: "masked", layerMap: pairs } as const;
    const settings = { ...finetuneDefaults, ...small, process: row.process, distill, recompute };
    const task = await finetuneTask(engine, fileOf(student), fileOf(row), data, settings);
    const reports = [await task.step(0), await task.step(1)];
    const learned = await learnedBy(task);
    await task.release();
    return { reports, learned };
  },
  ...Object.fromEntries(
    (["dense", "routed"] as const).map((execution) => [
      `mask learning, ${execution}`,
      async (row: Row, recompute: boolean) => {
        const groups = parseGroups("1:2", row.model.family.stacks(row.model.config));
        const settings = { ...learnDefaults, ...small, process: row.process, execution, recompute };
        const { learning, trainer } = await learnMasks(engine, fileOf(row), groups, data, settings);
        const reports = [await learning.step(0), await learning.step(1)];
        const learned = await learnedBy(learning);
        await trainer.release();
        return { reports, learned };
      },
    ]),
  ),
};

describe.each(rows)("$name", (row) => {
  it.each(Object.keys(ways))("%s", async (way) => {
    const [plain, lean] = [await ways[way]!(row, false), await ways[way]!(row, true)];
    expect(lean).toEqual(plain);
  }, 20_000);
});
