/** A laboratory for tests: four blocks on forty random pictures, tiny budgets, and a folder of its own. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpuEngine, integers, loadModel, NDArray, trainingSet } from "tinyfusion";
import { plantModel } from "../../../test/cli/program-run.ts";
import type { SubjectSpec } from "../../src/pipeline/benchmark.ts";
import { type Budget, budgets } from "../../src/pipeline/budget.ts";
import { Evidence } from "../../src/trials/results.ts";
import { runCells } from "../../src/trials/run-trials.ts";
import { type Cell, Lab } from "../../src/trials/trial.ts";

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
  readonly spec: SubjectSpec;
  lab(signal?: AbortSignal): Lab;
  /** The result of a cell, with all that it needs. */
  result<R>(cell: Cell<R>): Promise<R>;
}

export async function plantBench(name: string): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), name));
  const teacher = await loadModel(await plantModel(join(folder, "teacher.safetensors")));
  const engine = cpuEngine({ threads: 1 });
  const evidence = new Evidence(join(folder, "evidence"));
  const versions = { tinyfusion: "0" };
  const lab = (signal = new AbortController().signal) =>
    new Lab({ engine, threads: 1, evidence, work: join(folder, "work"), versions, signal, note: () => undefined });
  const spec: SubjectSpec = {
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
    spec,
    lab,
    async result(cell) {
      await runCells({ lab: lab(), cells: () => [cell] });
      return evidence.find(cell)!.result;
    },
  };
}
