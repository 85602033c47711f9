/** Two models on the same noise: what is compiled stops when it is told to, and is warm before it is timed. */
import { expect, test } from "vitest";
import { processOf } from "../../../src/diffusion/process.ts";
import type { Program } from "../../../src/engine/engine.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { type PairRequest, pairedSamples } from "../../../src/evaluation/speed/paired-samples.ts";
import { weightSpecs } from "../../../src/weights/model-file.ts";
import { awakeWeights, tinyModel } from "../../training/tiny.ts";

const model = tinyModel(2);
const contestant = {
  ...{ model, tensors: awakeWeights(weightSpecs(model)), process: processOf("gaussian"), path: "tiny" },
};

/** Compares a model with itself; counts the runs of each program, and which are left. */
async function paired(change: Partial<PairRequest>) {
  const own = cpuEngine({ threads: 1 });
  const runs: number[] = [];
  const open = new Set<number>();
  const engine = {
    ...own,
    async compile(...graph: Parameters<typeof own.compile>): Promise<Program> {
      const program = await own.compile(...graph);
      const at = runs.push(0) - 1;
      open.add(at);
      return {
        run(inputs) {
          runs[at]!++;
          return program.run(inputs);
        },
        release() {
          open.delete(at);
          return program.release();
        },
      };
    },
  };
  const sampling = { steps: "ddim6", cache: 1000, cacheImages: 2 };
  const request = { engine, models: [contestant, contestant], labels: Int32Array.of(0, 1), seed: 3, sampling } as const;
  const result = await pairedSamples({ ...request, ...change }).catch((error: unknown) => error as Error);
  return { result, runs, open };
}

test("each graph of a cache has run before the first round", async () => {
  const { result, runs, open } = await paired({});
  if (result instanceof Error) throw result;
  const timed = 6; // evaluations of the only round
  const perModel = runs.slice(0, runs.length / 2);
  expect(perModel.length).toBeGreaterThan(2); // one measures the cache
  const [, ...graphs] = perModel;
  expect(graphs.reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(timed + graphs.length);
  expect(Math.min(...graphs)).toBeGreaterThanOrEqual(2);
  expect(open.size).toBe(0);
  expect([...result.images[0].data]).toEqual([...result.images[1].data]);
});

test("stopped, it does not even measure a cache, and nothing stays open", async () => {
  const { result, runs, open } = await paired({ signal: AbortSignal.abort(new Error("enough")) });
  expect([(result as Error).message, runs, open.size]).toEqual(["enough", [0], 0]);
});
