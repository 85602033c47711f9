/** What a training step costs: one run of the gradient program per micro-batch, and the optimizer's programs. */

import { describe, expect, it } from "vitest";
import { namedSchedule } from "../../src/diffusion/schedule.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { cpuLowering } from "../../src/engine/onnx/cpu-lowering.ts";
import { lower } from "../../src/engine/onnx/lowering.ts";
import { gradient } from "../../src/graph/gradient.ts";
import { Params, trainable } from "../../src/nn/params.ts";
import { trainingLoss } from "../../src/training/objective.ts";
import { gaussianObjective } from "../../src/training/objectives.ts";
import { countedEngine } from "../engine/counted-engine.ts";
import { drawTiny, TIMESTEPS, tinyModel, tinyTrainer } from "./tiny.ts";

const MICRO = 2;
const draw = (batchSize: number) => drawTiny({ seed: 4, batchSize, microBatch: MICRO, labelDrop: 0.1 }, 0);

describe.each([1, 2, 6])("a model of depth %i", (depth) => {
  it.each([1, 3])("takes %i runs for as many micro-batches, plus sums, norm and update", async (microBatches) => {
    const engine = countedEngine(cpuEngine({ threads: 1 }));
    const trainer = await tinyTrainer(engine, MICRO, depth);
    const programs = { gradients: 1, update: 1, norm: 1, sums: 1 };
    expect(engine.counters).toEqual({ programs: Object.keys(programs).length, runs: 0 });
    const expected = microBatches + (microBatches - 1) + 1 + 1;
    for (let k = 1; k <= 2; k++) {
      await trainer.gradients(await draw(microBatches * MICRO));
      await trainer.apply(k, { clip: 1, learningRate: 1e-3, emaDecay: 0.9 });
      expect(engine.counters).toEqual({ programs: 4, runs: k * expected });
    }
  });
});

describe("no operation of the step falls back to the host", () => {
  const [p, model] = [new Params(), tinyModel()];
  const { loss, terms } = trainingLoss(
    gaussianObjective(namedSchedule("linear", TIMESTEPS)),
    { model, p, isTraining: true },
    MICRO,
  );
  const specs = trainable(p.specs());
  const gradients = gradient(
    loss,
    specs.map(({ name }) => p.tensor(name)),
  );
  const outputs = { ...terms, ...Object.fromEntries(specs.map(({ name }, i) => [`d ${name}`, gradients[i]!])) };
  const { model: onnx, inputs } = lower({ outputs }, cpuLowering);

  it("one model goes from the batch and the weights to all terms and gradients", () => {
    const batch = ["xStart", "noise", "index", "y", "weight"];
    expect(inputs.map(({ name }) => name).sort()).toEqual([...batch, ...p.specs().map(({ name }) => name)].sort());
    expect(onnx.outputs.map(({ name }) => name).sort()).toEqual(
      ["loss", "mse", "vb", ...specs.map(({ name }) => `d ${name}`)].sort(),
    );
  });

  it("every value in it comes from a feed, a stored number or a node before it", () => {
    const known = new Set([...inputs.map(({ name }) => name), ...onnx.initializers.map(({ name }) => name)]);
    for (const node of onnx.nodes) {
      for (const name of node.inputs.filter((one) => one !== ""))
        expect(known.has(name), `${node.opType} reads ${name}`).toBe(true);
      for (const name of node.outputs) known.add(name);
    }
    for (const { name } of onnx.outputs) expect(known.has(name), name).toBe(true);
  });

  it("only ONNX's and ONNX Runtime's own operators take part, none of them a loop", () => {
    expect(new Set(onnx.nodes.map(({ domain }) => domain))).toEqual(new Set(["", "com.microsoft"]));
    const forbidden = ["Loop", "Scan", "If", "SequenceMap"];
    expect(onnx.nodes.map(({ opType }) => opType).filter((op) => forbidden.includes(op))).toEqual([]);
  });
});
