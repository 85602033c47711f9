import { rmSync } from "node:fs";
import { digitReference, keepBlocks, modelCost, sampleImages, scoreDefaults, scoreDigits } from "tinyfusion";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { searchMask } from "../../src/pipeline/mask-search.ts";
import { chosenMask, learnedMask, searchPlan } from "../../src/pipeline/masks.ts";
import { recover, recoveryPlan } from "../../src/pipeline/recover.ts";
import { type RecoveredResult, type RecoveredVariant, recoveredTrial } from "../../src/pipeline/recovered-trial.ts";
import { scoresOf } from "../../src/pipeline/score-model.ts";
import { byMask, byWidth, inTwoStages, shallow, unpruned, withUpdate } from "../../src/pipeline/students.ts";
import { type Bench, budget, plantBench } from "./bench.ts";

let bench: Bench;
beforeAll(async () => {
  bench = await plantBench("study-recovered-");
});
afterAll(() => rmSync(bench.folder, { recursive: true }));

const variant = (name: string, seed: number, of: Pick<RecoveredVariant, "student"> & Partial<RecoveredVariant>) =>
  recoveredTrial({
    study: "test",
    variant: name,
    seed,
    benchmark: bench.benchmark,
    budget,
    recovery: recoveryPlan(bench.benchmark, budget),
    ...of,
  });

/** What follows from the settings. */
const content = ({ seconds: _, secondsPerImage: __, ...rest }: RecoveredResult) => rest;

/** Trials are of real models. */
const patience = { timeout: 120_000 };

describe("a recovered trial", patience, () => {
  test("of the teacher itself holds the scores of what generate samples", async () => {
    const { benchmark } = bench;
    const trial = recoveredTrial({ study: "test", variant: "teacher", seed: 4, benchmark, budget, student: unpruned });
    const found = await bench.result(trial);
    const { teacher } = await bench.benchmark.open(bench.context());
    const { engine } = bench.context();
    const { model, tensors: weights, process } = teacher;
    const sampled = await sampleImages({
      engine,
      model,
      weights,
      process,
      seed: 4,
      labels: 20,
      ...bench.benchmark.sampling,
    });
    const expected = await scoreDigits({
      engine,
      images: sampled.images,
      labels: sampled.labels,
      reference: await digitReference(engine, { rows: 2000 }),
      settings: { ...scoreDefaults, baseline: { purpose: "digit floor", subsets: 5 } },
      rounded: false,
    });
    expect(found.scores).toEqual(scoresOf(expected));
    expect([found.blocks, found.kept, found.seconds.recover, found.seconds.choose]).toEqual([4, undefined, 0, 0]);
    expect(found.losses.heldOut).toBeGreaterThan(0);
  });

  test("is the same for variants of equal masks and seeds, so that only masks make a difference, and another for another seed", async () => {
    const masks = (seed: number) => [
      chosenMask("oracle", bench.benchmark, seed, budget),
      chosenMask("uniform", bench.benchmark, seed, budget),
    ];
    const [oracle, uniform] = masks(0);
    const first = content(await bench.result(variant("first", 0, { student: byMask(oracle!) })));
    const again = content(await bench.result(variant("again", 0, { student: byMask(oracle!) })));
    const other = content(await bench.result(variant("other", 0, { student: byMask(uniform!) })));
    const reseeded = content(await bench.result(variant("reseeded", 1, { student: byMask(masks(1)[0]!) })));
    expect(again).toEqual(first);
    expect([first.kept, other.kept, reseeded.kept]).toEqual([
      [0, 3],
      [0, 2],
      [0, 3],
    ]);
    expect(other.scores).not.toEqual(first.scores);
    expect(reseeded.scores).not.toEqual(first.scores);
    expect(reseeded.losses.pruned).not.toBe(first.losses.pruned);
  });

  test("after a plain recovery, or another kind of distillation, holds other losses", async () => {
    const student = byMask(chosenMask("oracle", bench.benchmark, 0, budget));
    const kinds = [{ distill: "none" }, { distill: "output" }, { distill: "features" }, { maskSigma: 0.1 }] as const;
    const losses = new Set<number | undefined>();
    for (const [i, changed] of kinds.entries()) {
      const recovery = { ...recoveryPlan(bench.benchmark, budget), ...changed };
      losses.add((await bench.result(variant(`kind-${i}`, 0, { student, recovery }))).losses.heldOut);
    }
    expect(losses.size).toBe(4);
  });

  test("of half width keeps all blocks and about half of their weights", async () => {
    const found = await bench.result(variant("width", 0, { student: byWidth(budget) }));
    const { parameters } = modelCost(bench.benchmark.model);
    expect(found.parameters / parameters).toBeLessThan(0.9);
    expect([found.blocks, found.kept]).toEqual([4, undefined]);
    expect(found.seconds.choose).toBeGreaterThan(0);
  });

  test("in two stages has blocks of the first stage's student only", async () => {
    const mask = chosenMask("uniform", bench.benchmark, 0, budget);
    const found = await bench.result(
      variant("stages", 0, { student: inTwoStages(mask, budget, recoveryPlan(bench.benchmark, budget)) }),
    );
    expect(found.blocks).toBe(1);
    expect([[0], [2]]).toContainEqual(found.kept);
    expect(found.seconds.recover).toBeGreaterThan(0);
  });

  test("keeps the learned update on the blocks of the same mask", async () => {
    const mask = learnedMask(bench.benchmark, 0, budget);
    const discarded = await bench.result(variant("discarded", 0, { student: byMask(mask) }));
    const kept = await bench.result(variant("kept", 0, { student: withUpdate(mask, budget, {}) }));
    expect(kept.kept).toEqual(discarded.kept);
    expect(kept.losses.pruned).not.toBe(discarded.losses.pruned);
  });

  test("refuses to keep an update that belongs to another mask", async () => {
    const mask = learnedMask(bench.benchmark, 2, budget);
    const { kept } = await bench.result(mask);
    const others = [0, 1, 2, 3].filter((block) => !kept.includes(block));
    await bench.results.write(mask, { kept: others, seconds: 1 }, { seconds: 1, versions: {}, threads: 2 });
    await expect(bench.result(variant("another", 2, { student: withUpdate(mask, budget, {}) }))).rejects.toThrow(
      `the search of masks/cells/planted-learned-s2.json, run again for its weights: expected blocks ${others}, found ${kept}; use the threads`,
    );
  });
});

describe("recovery", patience, () => {
  test("that breaks off says where, and leaves numbers", async () => {
    const { teacher, data } = await bench.benchmark.open(bench.context());
    const plan = { ...recoveryPlan(bench.benchmark, budget), rate: { base: 1e30, final: 1e30 }, steps: 6, seed: 1 };
    const { stoppedAt, model } = await recover(bench.context(), shallow(teacher, [0, 2]), teacher, data, plan);
    expect(stoppedAt).toBeGreaterThan(0);
    expect(stoppedAt).toBeLessThan(6);
    expect(model.weights).toBe("ema");
  });

  test("changes all weights of the student, counts its images, and stops at the signal", async () => {
    const { teacher, data } = await bench.benchmark.open(bench.context());
    const student = shallow(teacher, [1, 2]);
    expect([...student.tensors.keys()]).toEqual([...keepBlocks(teacher.model, teacher.tensors, [1, 2]).keys()]);
    const plan = { ...recoveryPlan(bench.benchmark, budget), seed: 1 };
    const { model } = await recover(bench.context(), student, teacher, data, plan);
    expect(model.images).toBe(12 + 3 * budget.recoveryBatch);
    expect([...model.tensors.keys()].sort()).toEqual([...student.tensors.keys()].sort());
    expect(model.tensors.get("blocks.0.attn.qkv.weight")!.data).not.toEqual(
      student.tensors.get("blocks.0.attn.qkv.weight")!.data,
    );
    const stopped = bench.context(AbortSignal.abort(new Error("stopped")));
    await expect(recover(stopped, student, teacher, data, plan)).rejects.toThrow("stopped");
    await expect(searchMask(stopped, teacher, data, searchPlan(budget), 0)).rejects.toThrow("stopped");
  });
});
