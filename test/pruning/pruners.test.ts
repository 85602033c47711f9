/** Every method on tiny models of every family: what must hold for each pruner. */
import { describe, expect, it } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { keptInStacks, parseBudget } from "../../src/pruning/budget.ts";
import { compileCalibrationLoss } from "../../src/pruning/calibration.ts";
import { type Group, parseGroups } from "../../src/pruning/groups.ts";
import { keepBlocks } from "../../src/pruning/keep-blocks.ts";
import type { CalibratedContext, Choice } from "../../src/pruning/pruner.ts";
import { type PrunerMethod, pruners } from "../../src/pruning/pruners.ts";
import { data, type Row, rows } from "../conformance/models.ts";

const engine = cpuEngine({ threads: 1 });
const EXAMPLES = 19;
const methods = Object.keys(pruners) as PrunerMethod[];

function contextOf(row: Row, groups: readonly Group[], microBatch = 16): CalibratedContext {
  return {
    model: row.model,
    groups,
    settings: {
      ...{ seed: 5, kept: [0, 3], influenceInputs: "noised", protectLast: false, candidates: 6, lossThreshold: 0.01 },
    },
    engine,
    weights: row.weights,
    data,
    calibration: { seed: 5, examples: EXAMPLES, process: row.process, microBatch },
    hooks: {},
  };
}

const choose = async (method: PrunerMethod, context: CalibratedContext): Promise<Choice> =>
  pruners[method].choose(context);

describe.each(rows)("$name", (row) => {
  const stacks = row.model.family.stacks(row.model.config);
  const { depth } = row.model.config;

  it.each(methods)("%s keeps what groups and budget say", async (method) => {
    if (method === "indices") {
      expect((await choose(method, contextOf(row, []))).kept).toEqual([0, 3]);
      return;
    }
    for (const groups of [parseGroups("1:2", stacks), parseBudget("2", stacks)]) {
      const { kept, scores, losses } = await choose(method, contextOf(row, groups));
      expect(kept).toEqual([...new Set(kept)].sort((a, b) => a - b));
      for (const { start, size, keep } of groups)
        expect(kept.filter((block) => block >= start && block < start + size)).toHaveLength(keep);
      expect(keptInStacks(groups, stacks).reduce((a, b) => a + b)).toBe(kept.length);
      if (scores) expect(scores).toHaveLength(depth);
      for (const value of [...(scores ?? []), ...(losses ?? []).map(({ loss }) => loss)])
        expect(Number.isFinite(value)).toBe(true);
    }
  });

  it.each(
    methods.filter((method) => pruners[method].needs === "calibration"),
  )("%s does not depend on the micro-batch, and tells its passes", async (method) => {
    const pruner = pruners[method];
    if (pruner.needs !== "calibration") throw new Error("not reached");
    const groups = parseGroups("1:2", stacks);
    let forwards = 0;
    const onRun = (runs: number): void => {
      forwards += runs;
    };
    const hooked = { ...contextOf(row, groups), hooks: { onRun } };
    const whole = await pruner.choose(hooked);
    const runs = Math.ceil(EXAMPLES / 16);
    expect(forwards).toBeGreaterThan(0);
    expect(forwards).toBeLessThanOrEqual(runs * pruner.passes(hooked));
    const parts = await pruner.choose(contextOf(row, groups, 5));
    expect(parts.kept).toEqual(whole.kept);
    const numbers = ({ scores, losses }: Choice) => [...(scores ?? []), ...(losses ?? []).map(({ loss }) => loss)];
    const largest = Math.max(...numbers(whole).map(Math.abs));
    expect(numbers(whole).length).toBeGreaterThan(0);
    numbers(parts).forEach((value, i) => {
      // Forward passes of images are the same row for row, whatever is computed beside them.
      const isExact = row.model.family.process !== "tokens" && method !== "taylor";
      expect(Math.abs(value - numbers(whole)[i]!)).toBeLessThanOrEqual(isExact ? 0 : 1e-5 * largest);
    });
  });

  it("random-median takes the middle of its candidates, min-loss the smallest", async () => {
    const context = contextOf(row, parseGroups("1:2", stacks));
    const settings = { ...context.settings, candidates: 4 };
    for (const [method, place] of [
      ["random-median", 1],
      ["min-loss", 0],
    ] as const) {
      const { kept, losses } = await choose(method, { ...context, settings });
      const sorted = losses!.map(({ loss }) => loss).sort((a, b) => a - b);
      expect([method, losses!.find((one) => one.kept.join() === kept.join())!.loss]).toEqual([method, sorted[place]]);
    }
  });

  it("stops between runs when it is told to", async () => {
    const stop = new AbortController();
    const reason = new Error("enough");
    const context = contextOf(row, parseGroups("1:2", stacks));
    const onRun = () => stop.abort(reason);
    for (const pruner of Object.values(pruners)) {
      if (pruner.needs !== "calibration") continue;
      await expect(pruner.choose({ ...context, hooks: { signal: stop.signal, onRun } })).rejects.toBe(reason);
    }
  });

  it("has the calibration loss of the pruned model itself", async () => {
    const kept = [0, depth - 1];
    const pruned = { ...row.model, config: row.model.family.keep(row.model.config, kept) };
    const settings = { seed: 1, examples: 18, process: row.process };
    const whole = await compileCalibrationLoss(engine, row.model, data, settings, row.weights);
    const own = await compileCalibrationLoss(engine, pruned, data, settings);
    const loss = await whole.lossOf(kept);
    expect(loss).toBe(await own.loss(keepBlocks(row.model, row.weights, kept)));
    expect(loss).not.toBe(await whole.loss(new Map()));
    await Promise.all([whole.release(), own.release()]);
  });
});

it("more examples than there are, are refused", async () => {
  const context = contextOf(rows[0]!, parseGroups("1:2", 4));
  const { size } = context.data;
  const calibration = { ...context.calibration, examples: size + 1 };
  await expect(choose("shortgpt", { ...context, calibration })).rejects.toThrow(
    `\`calibration\` ${size + 1}: expected 1 to ${size}, the number of examples in the data`,
  );
});

it("clean latents are for the model of the original script", async () => {
  const influence = async (row: Row, extra: object) => {
    const context = contextOf(row, parseGroups("1:2", row.model.family.stacks(row.model.config)));
    return choose("shortgpt", {
      ...context,
      settings: { ...context.settings, influenceInputs: "clean-latents", ...extra },
    });
  };
  const [dit, , sit] = rows as [Row, Row, Row];
  const noised = await choose("shortgpt", contextOf(dit, parseGroups("1:2", 4)));
  const clean = await influence(dit, {});
  expect(clean.scores).not.toEqual(noised.scores);
  expect((await influence(dit, { protectLast: true })).kept).toContain(3);
  await expect(influence(sit, {})).rejects.toThrow(/the original script is for DiT, found a sit model/);
});

it("taylor's score is weight times gradient, as central differences of the loss have it", async () => {
  // Not of a model with learned variance: part of its loss has no gradient. In block 1 all is zero but the bias b of one
  // channel and the gate g before it: the block adds g · b there.
  const [row, channel, size] = [rows[1]!, 3, 16];
  const [bias, gates] = ["blocks.1.mlp.fc2.bias", "blocks.1.adaLN_modulation.1.bias"];
  const weights = new Map(
    Array.from(row.weights, ([name, value]) => {
      const isOwn = name.startsWith("blocks.1.");
      return [name, isOwn ? float32(new Float32Array(value.size), value.shape) : value] as const;
    }),
  );
  weights.get(bias)!.data[channel] = 0.8;
  weights.get(gates)!.data[5 * size + channel] = 1.5;
  const context = { ...contextOf(row, parseGroups("1:2", 4)), weights };
  const { scores } = await choose("taylor", { ...context, settings: { ...context.settings, lossThreshold: 0 } });
  const loss = await compileCalibrationLoss(engine, row.model, data, context.calibration);
  const lossAt = (b: number) => {
    const values = weights.get(bias)!.data.slice();
    values[channel] = b;
    return loss.loss(new Map(weights).set(bias, float32(values)));
  };
  const gradient = ((await lossAt(0.9)) - (await lossAt(0.7))) / 0.2;
  await loss.release();
  // |b · ∂L/∂b| and |g · ∂L/∂g| are the same number.
  expect(Math.abs(gradient)).toBeGreaterThan(1e-4); // a hundred times the rounding of the losses
  expect(scores![1]! / (2 * Math.abs(0.8 * gradient))).toBeCloseTo(1, 2);
});
