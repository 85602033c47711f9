/** Deciding and writing narrow models: what their files say, and that they are trained like any other. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { modelOf } from "../../../src/models/registry.ts";
import { savePruned } from "../../../src/pruning/keep-blocks.ts";
import { requirePrunableModel } from "../../../src/pruning/width/channel-groups.ts";
import {
  decideWidths,
  keptOfFraction,
  savePrunedWidths,
  type WidthSettings,
} from "../../../src/pruning/width/prune-width.ts";
import { finetuneDefaults, finetuneTask } from "../../../src/training/finetune.ts";
import { isWidthPruning, keptGroupCount, numbersIn, rangesText } from "../../../src/weights/model-description.ts";
import { loadModel, type Pruning, saveModel } from "../../../src/weights/model-file.ts";
import { images } from "../../training/tiny.ts";
import { valuesOf } from "../../training/values-of.ts";
import { engine, fileOf, wide, wideSit } from "./prunable.ts";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-narrow-"));
afterAll(() => rmSync(folder, { recursive: true }));

const keep = { heads: 2, channels: 9 };
const settings = { criterion: "random", keep, seed: 0 } as const satisfies WidthSettings;

async function narrowed(name: string, model = wide) {
  const parent = fileOf(model);
  const decision = await decideWidths(parent, settings);
  const path = join(folder, `${name}.safetensors`);
  await savePrunedWidths(path, parent, decision);
  return { parent, decision, path, narrow: await loadModel(path) };
}

describe("a narrow file", () => {
  it("says its widths, and which units of which parent were removed", async () => {
    const { parent, decision, narrow } = await narrowed("described");
    expect(narrow.model.config).toEqual({ ...wide.config, keptHeads: 2, mlpSize: 9 });
    const [pruning] = narrow.prunings as [Pruning];
    expect(narrow.prunings).toHaveLength(1);
    expect(pruning).toMatchObject({
      parent: parent.sha256,
      parentDepth: 2,
      kept: [0, 1],
      layerMap: [
        [0, 0],
        [1, 1],
      ],
    });
    expect(pruning.width!.criterion).toBe("random");
    for (const [kind, of] of [
      ["heads", 4],
      ["channels", 24],
    ] as const) {
      expect(pruning.width![kind].of).toBe(of);
      const removed = pruning.width![kind].removed.map((text) => numbersIn(text, of)!);
      const all = decision.kept.map((units, block) => [...units[kind], ...removed[block]!].sort((a, b) => a - b));
      expect(all).toEqual(Array.from({ length: 2 }, () => Array.from({ length: of }, (_, unit) => unit)));
    }
    expect({ images: narrow.images, process: narrow.process }).toEqual({ images: 7, process: parent.process });
  });

  it("is pruned again, in width and in depth, and keeps its past", async () => {
    const { narrow } = await narrowed("first");
    const again = await decideWidths(narrow, { criterion: "magnitude", keep: { heads: 1, channels: 9 }, seed: 0 });
    expect(again.scores.map(({ channels }) => channels)).toEqual([[], []]); // none of them goes
    const narrower = join(folder, "again.safetensors");
    await savePrunedWidths(narrower, narrow, again);
    const deep = join(folder, "shallow.safetensors");
    await savePruned(deep, await loadModel(narrower), { kept: [1], layerMap: [[0, 1]] });
    const { model, prunings } = await loadModel(deep);
    expect(model.config).toEqual({ ...wide.config, depth: 1, keptHeads: 1, mlpSize: 9 });
    expect(prunings.map(({ width }) => width && [keptGroupCount(width.heads), keptGroupCount(width.channels)])).toEqual(
      [[2, 9], [1, 9], undefined],
    );
  });

  it("that contradicts itself is refused", async () => {
    const { narrow } = await narrowed("broken");
    const [pruning] = narrow.prunings as [Pruning];
    const path = join(folder, "damaged.safetensors");
    const heads = { of: 4, removed: ["0,1", "1"] };
    const prunings = [{ ...pruning, width: { ...pruning.width!, heads } }];
    await saveModel(path, narrow.model, narrow.tensors, { ...narrow, prunings });
    await expect(loadModel(path)).rejects.toThrow(/metadata is damaged: .* removed heads and channels of each block/);
  });
});

describe.each([
  ["a DiT", wide],
  ["a SiT", wideSit],
])("%s", (name, model) => {
  it("learns from its wide teacher, in every weight that was cut", async () => {
    const { parent, narrow } = await narrowed(`taught ${name}`, model);
    const task = await finetuneTask(engine, narrow, parent, images, {
      ...finetuneDefaults,
      ...{ steps: 1, batchSize: 4, microBatch: 2, process: parent.process },
      distill: { ...finetuneDefaults.distill, kind: "masked", layerMap: narrow.prunings[0]!.layerMap },
    });
    const before = new Map(Array.from(narrow.tensors, ([key, { data }]) => [key, data.slice()]));
    const { gradientNorm, terms } = await task.step(0);
    expect(Number.isFinite(gradientNorm)).toBe(true);
    expect(terms.distillation).toBeGreaterThan(0); // the teacher knows more
    expect(terms.features).toBeGreaterThan(0);
    const { files } = task.checkpoint();
    const trained = await valuesOf(files.weights!);
    for (const key of ["attn.qkv.weight", "attn.proj.weight", "mlp.fc1.bias", "mlp.fc2.weight"]) {
      for (const block of [0, 1]) {
        const weight = `blocks.${block}.${key}`;
        expect(trained.get(weight)!.shape, weight).toEqual(narrow.tensors.get(weight)!.shape);
        expect([...trained.get(weight)!.data], weight).not.toEqual([...before.get(weight)!]);
      }
    }
    await task.release();
  });
});

it("criteria with gradients need no more than their calibration, and decide alike from one seed", async () => {
  const file = fileOf(wide);
  const calibration = {
    engine,
    data: images,
    settings: { process: file.process, examples: 4, microBatch: 4, timesteps: 5, threshold: 0.05 },
  };
  const decide = (criterion: "diff-pruning" | "taylor", seed: number) =>
    decideWidths(file, { criterion, keep, seed }, calibration);
  const first = await decide("diff-pruning", 1);
  expect(await decide("diff-pruning", 1)).toEqual(first);
  expect((await decide("diff-pruning", 2)).scores).not.toEqual(first.scores);
  const taylor = await decide("taylor", 1);
  expect(taylor.losses).toHaveLength(5);
  // |Σ w·g| is never more than Σ |w·g| over the same timesteps.
  const every = await decideWidths(
    file,
    { criterion: "diff-pruning", keep, seed: 1 },
    { ...calibration, settings: { ...calibration.settings, threshold: 0 } },
  );
  for (const [block, { channels }] of taylor.scores.entries()) {
    channels.forEach((score, unit) => {
      expect(score).toBeLessThan(every.scores[block]!.channels[unit]!);
    });
  }
});

it("a share keeps the rounded number of units, and one at least", () => {
  expect([0.5, 0.5, 0.34, 0, 1].map((share, i) => keptOfFraction([16, 3, 3, 4, 4][i]!, share))).toEqual([
    8, 2, 1, 1, 4,
  ]);
});

describe("models of other blocks", () => {
  it("are refused", () => {
    const mar = modelOf({
      ...{ family: "mar", inputSize: 4, patchSize: 2, inChannels: 1, numClasses: 2, bufferSize: 1 },
      ...{ encoderDepth: 1, encoderSize: 8, encoderHeads: 2, decoderDepth: 1, decoderSize: 12, decoderHeads: 2 },
      ...{ denoiserDepth: 1, denoiserSize: 4 },
    });
    expect(() => requirePrunableModel(mar, "m.safetensors")).toThrow(InputError);
    expect(() => requirePrunableModel(mar, "m.safetensors")).toThrow(
      /expects the blocks of DiT or SiT, found a mar model/,
    );
    const empty = modelOf({ ...wide.config, depth: 0 });
    expect(() => requirePrunableModel(empty, "m.safetensors")).toThrow(/needs a model with blocks/);
  });
});

describe("the text of numbers", () => {
  it.each([
    ["", []],
    ["3", [3]],
    ["0-2,4,6-7", [0, 1, 2, 4, 6, 7]],
  ])('"%s" is read and written', (text, numbers) => {
    expect(rangesText(numbers)).toBe(text);
    expect(numbersIn(text, 8)).toEqual(numbers);
  });

  it.each(["8", "0-8", "2,1", "1,1", "3-2", "a", "1,", "-1", "1.5"])('"%s" is not numbers below 8', (text) => {
    expect(numbersIn(text, 8)).toBeUndefined();
  });

  it.each([
    ["a block too few", { heads: { of: 4, removed: ["0"] } }],
    ["all units", { heads: { of: 2, removed: ["0-1", "0-1"] } }],
    ["other numbers in another block", { heads: { of: 4, removed: ["0", "0-1"] } }],
    ["no text", { heads: { of: 4, removed: [0, 0] } }],
    ["more units than any model has", { channels: { of: 1e9, removed: ["0", "0"] } }],
    ["no criterion", { criterion: undefined }],
  ])("a description with %s is none", (_, change) => {
    const right = {
      criterion: "taylor",
      heads: { of: 4, removed: ["0", "3"] },
      channels: { of: 9, removed: ["", ""] },
    };
    expect(isWidthPruning(right, 2)).toBe(true);
    expect(isWidthPruning({ ...right, ...change }, 2)).toBe(false);
  });
});
