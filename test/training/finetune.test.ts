/** What fine-tuning with a teacher refuses, and what a task gives back when it is done. */

import { describe, expect, it } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { defaultProcess } from "../../src/diffusion/process.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { printGraph } from "../../src/graph/print.ts";
import type { LayerMap } from "../../src/models/layer-pairs.ts";
import type { DistillKind } from "../../src/training/distill.ts";
import { finetuneDefaults, finetuneTask } from "../../src/training/finetune.ts";
import { type ModelFile, weightSpecs } from "../../src/weights/model-file.ts";
import { awakeWeights, images, tinyModel } from "./tiny.ts";

const engine = cpuEngine({ threads: 1 });

function file(depth: number): ModelFile {
  const model = tinyModel(depth);
  const process = defaultProcess;
  const facts = { weights: "raw", images: 0, prunings: [], process, sha256: "", path: "" } as const;
  return { ...facts, model, tensors: awakeWeights(weightSpecs(model)) };
}

const task = (
  layerMap: LayerMap,
  kind: DistillKind = "masked",
  on: Engine = engine,
  teacherPrecision: "float32" | "int8" = "float32",
) =>
  finetuneTask(on, file(1), file(2), images, {
    teacherPrecision,
    ...finetuneDefaults,
    ...{ steps: 1, batchSize: 2, microBatch: 2, process: defaultProcess },
    distill: { ...finetuneDefaults.distill, kind, layerMap },
  });

describe("a layer map", () => {
  it.each<[string, LayerMap]>([
    ["of a block that the student does not have", [[1, 0]]],
    ["of a block that the teacher does not have", [[0, 2]]],
    ["of half a block", [[0, 0.5]]],
    ["that is empty, where features are compared", []],
  ])("%s is refused", async (_, layerMap) => {
    await expect(task(layerMap)).rejects.toThrow(InputError);
    await expect(task(layerMap)).rejects.toThrow(/layer map/);
  });

  it("may be empty where only predictions are compared", async () => {
    await (await task([], "output")).release();
  });
});

it("a teacher in int8 teaches nearly the same, and the student stays float32", async () => {
  const graphs: string[] = [];
  const watching: Engine = {
    ...engine,
    compile(graph, options) {
      graphs.push(printGraph(graph));
      return engine.compile(graph, options);
    },
  };
  const losses: number[] = [];
  for (const precision of ["float32", "int8"] as const) {
    const built = await task([[0, 1]], "masked", watching, precision);
    losses.push((await built.step(0)).terms.loss!);
    await built.release();
  }
  const [exact, low] = losses as [number, number];
  expect(low).not.toBe(exact);
  expect(Math.abs(low - exact) / exact).toBeLessThan(0.02);
  const quantized = graphs.flatMap((graph) => graph.split("\n").filter((line) => line.includes("quantizedLinear")));
  expect(quantized).toHaveLength(8); // two blocks of the teacher
  for (const line of quantized) expect(line).toContain("teacher.blocks.");
});

it("a task frees every session it has built, and its weights can still be read", async () => {
  let open = 0;
  const counting: Engine = {
    ...engine,
    async compile(...args) {
      const session = await engine.compile(...args);
      open++;
      return {
        run: (inputs) => session.run(inputs),
        async release() {
          open--;
          await session.release();
        },
      };
    },
  };
  const built = await task([[0, 1]], "masked", counting);
  await built.step(0);
  expect(open).toBe(4); // gradients; update, norm and sum of the optimizer
  await built.release();
  expect(open).toBe(0);
  expect(built.checkpoint().files.weights.size).toBe(file(1).tensors.size);
});
