import { rmSync } from "node:fs";
import { digitReference, keepBlocks, modelCost, sampleImages, scoreDefaults, scoreDigits } from "tinyfusion";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { scoresOf } from "../../src/pipeline/judge.ts";
import { searchMask } from "../../src/pipeline/mask-search.ts";
import { chosenMask, learnedMask, searchPlan } from "../../src/pipeline/masks.ts";
import { recover, recoveryPlan } from "../../src/pipeline/recover.ts";
import { type RecoveredArm, type RecoveredResult, recoveredCell } from "../../src/pipeline/recovered-trial.ts";
import { byMask, byWidth, inTwoStages, shallow, unpruned, withUpdate } from "../../src/pipeline/students.ts";
import { type Bench, budget, plantBench } from "./bench.ts";

let bench: Bench;
beforeAll(async () => {
  bench = await plantBench("study-recovered-");
});
afterAll(() => rmSync(bench.folder, { recursive: true }));

const arm = (name: string, seed: number, of: Pick<RecoveredArm, "student"> & Partial<RecoveredArm>) =>
  recoveredCell({
    study: "test",
    arm: name,
    seed,
    spec: bench.spec,
    budget,
    recovery: recoveryPlan(bench.spec, budget),
    ...of,
  });

/** What follows from the settings. */
const content = ({ seconds: _, secondsPerImage: __, ...rest }: RecoveredResult) => rest;

describe("a recovered cell", () => {
  test("of the teacher itself holds the scores of what generate draws", async () => {
    const { spec } = bench;
    const cell = recoveredCell({ study: "test", arm: "teacher", seed: 4, spec, budget, student: unpruned });
    const found = await bench.result(cell);
    const { teacher } = await bench.spec.open(bench.lab());
    const { engine } = bench.lab();
    const { model, tensors: weights, process } = teacher;
    const drawn = await sampleImages({ engine, model, weights, process, seed: 4, labels: 20, ...bench.spec.sampling });
    const expected = await scoreDigits({
      engine,
      images: drawn.images,
      labels: drawn.labels,
      reference: await digitReference(engine, { rows: 2000 }),
      settings: { ...scoreDefaults, baseline: { purpose: "digit floor", subsets: 5 } },
      rounded: false,
    });
    expect(found.scores).toEqual(scoresOf(expected));
    expect([found.blocks, found.kept, found.seconds.recover, found.seconds.choose]).toEqual([4, undefined, 0, 0]);
    expect(found.losses.heldOut).toBeGreaterThan(0);
  });

  test("is the same for arms of equal masks and seeds, so that only masks make a difference, and another for another seed", async () => {
    const masks = (seed: number) => [
      chosenMask("oracle", bench.spec, seed, budget),
      chosenMask("uniform", bench.spec, seed, budget),
    ];
    const [oracle, uniform] = masks(0);
    const first = content(await bench.result(arm("first", 0, { student: byMask(oracle!) })));
    const again = content(await bench.result(arm("again", 0, { student: byMask(oracle!) })));
    const other = content(await bench.result(arm("other", 0, { student: byMask(uniform!) })));
    const reseeded = content(await bench.result(arm("reseeded", 1, { student: byMask(masks(1)[0]!) })));
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
    const student = byMask(chosenMask("oracle", bench.spec, 0, budget));
    const kinds = [{ distill: "none" }, { distill: "output" }, { distill: "features" }, { maskSigma: 0.1 }] as const;
    const losses = new Set<number | undefined>();
    for (const [i, changed] of kinds.entries()) {
      const recovery = { ...recoveryPlan(bench.spec, budget), ...changed };
      losses.add((await bench.result(arm(`kind-${i}`, 0, { student, recovery }))).losses.heldOut);
    }
    expect(losses.size).toBe(4);
  });

  test("of half width keeps all blocks and about half of their weights", async () => {
    const found = await bench.result(arm("width", 0, { student: byWidth(budget) }));
    const { parameters } = modelCost(bench.spec.model);
    expect(found.parameters / parameters).toBeLessThan(0.9);
    expect([found.blocks, found.kept]).toEqual([4, undefined]);
    expect(found.seconds.choose).toBeGreaterThan(0);
  });

  test("in two stages has blocks of the first stage's student only", async () => {
    const mask = chosenMask("uniform", bench.spec, 0, budget);
    const found = await bench.result(
      arm("stages", 0, { student: inTwoStages(mask, budget, recoveryPlan(bench.spec, budget)) }),
    );
    expect(found.blocks).toBe(1);
    expect([[0], [2]]).toContainEqual(found.kept);
    expect(found.seconds.recover).toBeGreaterThan(0);
  });

  test("keeps the learned update where it is told to, on the blocks of the same mask", async () => {
    const mask = learnedMask(bench.spec, 0, budget);
    const discarded = await bench.result(arm("discarded", 0, { student: byMask(mask) }));
    const kept = await bench.result(arm("kept", 0, { student: withUpdate(mask, budget, {}) }));
    expect(kept.kept).toEqual(discarded.kept);
    expect(kept.losses.pruned).not.toBe(discarded.losses.pruned);
  });

  test("refuses to keep an update that belongs to another mask", async () => {
    const mask = learnedMask(bench.spec, 2, budget);
    const { kept } = await bench.result(mask);
    const others = [0, 1, 2, 3].filter((block) => !kept.includes(block));
    const { evidence } = bench.lab().settings;
    await evidence.write(mask, { kept: others, seconds: 1 }, { seconds: 1, versions: {}, threads: 2 });
    await expect(bench.result(arm("another", 2, { student: withUpdate(mask, budget, {}) }))).rejects.toThrow(
      `the search of masks/cells/planted-learned-s2.json, run again for its weights: expected blocks ${others}, found ${kept}; use the threads`,
    );
  });
});

describe("recovery", () => {
  test("that breaks off says where, and leaves numbers", async () => {
    const { teacher, data } = await bench.spec.open(bench.lab());
    const plan = { ...recoveryPlan(bench.spec, budget), rate: { base: 1e30, final: 1e30 }, steps: 6, seed: 1 };
    const { stoppedAt, model } = await recover(bench.lab(), shallow(teacher, [0, 2]), teacher, data, plan);
    expect(stoppedAt).toBeGreaterThan(0);
    expect(stoppedAt).toBeLessThan(6);
    expect(model.weights).toBe("ema");
  });

  test("changes all weights of the student, counts its images, and stops when told to", async () => {
    const { teacher, data } = await bench.spec.open(bench.lab());
    const student = shallow(teacher, [1, 2]);
    expect([...student.tensors.keys()]).toEqual([...keepBlocks(teacher.model, teacher.tensors, [1, 2]).keys()]);
    const plan = { ...recoveryPlan(bench.spec, budget), seed: 1 };
    const { model } = await recover(bench.lab(), student, teacher, data, plan);
    expect(model.images).toBe(12 + 3 * budget.recoveryBatch);
    expect([...model.tensors.keys()].sort()).toEqual([...student.tensors.keys()].sort());
    expect(model.tensors.get("blocks.0.attn.qkv.weight")!.data).not.toEqual(
      student.tensors.get("blocks.0.attn.qkv.weight")!.data,
    );
    const stopped = bench.lab(AbortSignal.abort(new Error("stopped")));
    await expect(recover(stopped, student, teacher, data, plan)).rejects.toThrow("stopped");
    await expect(searchMask(stopped, teacher, data, searchPlan(budget), 0)).rejects.toThrow("stopped");
  });
});
