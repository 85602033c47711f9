/** A benchmark for tests: four blocks on forty random pictures, tiny budgets, and a folder of its own. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { integers, loadModel, NDArray, openDevice, trainingSet } from "tinyfusion";
import { plantModel } from "../../../test/cli/program-run.ts";
import type { BenchmarkModel } from "../../src/pipeline/benchmark.ts";
import { type Budget, budgets } from "../../src/pipeline/budget.ts";
import { Results } from "../../src/trials/results.ts";
import { runTrials } from "../../src/trials/run-trials.ts";
import { StudyContext, type Trial } from "../../src/trials/trial.ts";

export const budget: Budget = { ...budgets.tiny, images: 20, calibration: 16, heldOut: 16, masks: 5 };

const pixels = integers({ seed: 1, purpose: "pixels", step: 0, index: 0 }, 40 * 28 * 28, 256);
const data = trainingSet(
  {
    images: new NDArray("uint8", [40, 28, 28], Uint8Array.from(pixels)),
    labels: new NDArray(
      "int32",
      [40],
      Int32Array.from({ length: 40 }, (_, i) => i % 10),
    ),
  },
  10,
);

export interface Bench {
  readonly folder: string;
  readonly results: Results;
  readonly benchmark: BenchmarkModel;
  context(signal?: AbortSignal): StudyContext;
  /** The result of a trial, with all that it needs. */
  result<R>(trial: Trial<R>): Promise<R>;
}

export async function plantBench(name: string): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), name));
  const teacher = await loadModel(await plantModel(join(folder, "teacher.safetensors")));
  const engine = openDevice("cpu", { threads: 1 });
  const results = new Results(join(folder, "results"));
  const versions = { tinyfusion: "0" };
  const context = (signal = new AbortController().signal) =>
    new StudyContext({
      engine,
      threads: 1,
      find: results.result,
      work: join(folder, "work"),
      versions,
      signal,
      note: () => undefined,
    });
  const benchmark: BenchmarkModel = {
    name: "planted",
    model: teacher.model,
    settings: { teacher: "planted" },
    needs: [],
    sampling: { steps: "ddim2", cfgScale: 2 },
    recoverySteps: 3,
    recoveryRate: { base: 1e-3, final: 1e-4 },
    beta: 1e-2,
    open: async () => ({ teacher, data, heldOut: data }),
  };
  return {
    folder,
    results,
    benchmark,
    context,
    async result(trial) {
      await runTrials({ context: context(), results, trials: () => [trial] });
      return results.find(trial)!.result;
    },
  };
}
