import { expect, test } from "vitest";
import { processOf } from "../../src/diffusion/process.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { modelOf } from "../../src/models/registry.ts";
import { compileSampler } from "../../src/sampling/compile-sampler.ts";
import { weightSpecs } from "../../src/weights/weight-specs.ts";
import { awakeWeights } from "../training/tiny.ts";

test("a sampler whose second session cannot be built lets the first one go", async () => {
  const model = modelOf({
    ...{ family: "mar", inputSize: 4, patchSize: 2, inChannels: 1, numClasses: 3, bufferSize: 2 },
    ...{ encoderDepth: 1, encoderSize: 8, encoderHeads: 2, decoderDepth: 1, decoderSize: 8, decoderHeads: 2 },
    ...{ denoiserDepth: 1, denoiserSize: 6 },
  });
  const own = cpuEngine({ threads: 1 });
  const events: string[] = [];
  const engine: typeof own = {
    ...own,
    async compile(graph, options) {
      if (events.length > 0) throw new Error("no memory");
      events.push("built");
      const session = await own.compile(graph, options);
      return { run: session.run.bind(session), release: async () => void events.push("released") };
    },
  };
  const request = { engine, model, weights: awakeWeights(weightSpecs(model)), seed: 0, batch: 2 };
  await expect(compileSampler(request, processOf("tokens"), { steps: "2" })).rejects.toThrow("no memory");
  expect(events).toEqual(["built", "released"]);
});
